using System.Globalization;
using System.Reflection;
using BenchmarkDotNet.Columns;
using BenchmarkDotNet.Configs;
using BenchmarkDotNet.Reports;
using BenchmarkDotNet.Running;

namespace CudaLora.Bench.Ops;

/// <summary>Adds GB/s to the default columns.</summary>
public sealed class OpConfig : ManualConfig
{
    /// <summary>The default configuration with the extra column.</summary>
    public OpConfig() => AddColumn(new BandwidthColumn());

    private sealed class BandwidthColumn : IColumn
    {
        public string Id => nameof(BandwidthColumn);

        public string ColumnName => "GB/s";

        public bool AlwaysShow => true;

        public ColumnCategory Category => ColumnCategory.Custom;

        public int PriorityInCategory => 0;

        public bool IsNumeric => true;

        public UnitType UnitType => UnitType.Dimensionless;

        public string Legend => "Bytes that must move at least (see the class's Traffic attribute) over the mean time";

        public string GetValue(Summary summary, BenchmarkCase benchmarkCase)
        {
            var traffic = benchmarkCase.Descriptor.Type.GetCustomAttribute<TrafficAttribute>();
            if (traffic is null || summary[benchmarkCase]?.ResultStatistics is not { } statistics)
                return "";
            var tensors = benchmarkCase.Descriptor.WorkloadMethod.Name == nameof(OpBench.Forward)
                ? traffic.Forward
                : traffic.Forward + traffic.Backward;
            var bytes = tensors * OpBench.Rows * OpBench.Columns * sizeof(float);
            return (bytes / statistics.Mean).ToString("0.0", CultureInfo.InvariantCulture);
        }

        public string GetValue(Summary summary, BenchmarkCase benchmarkCase, SummaryStyle style) =>
            GetValue(summary, benchmarkCase);

        public bool IsDefault(Summary summary, BenchmarkCase benchmarkCase) => false;

        public bool IsAvailable(Summary summary) => true;
    }
}
