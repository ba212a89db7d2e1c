using System.Globalization;
using BenchmarkDotNet.Columns;
using BenchmarkDotNet.Configs;
using BenchmarkDotNet.Reports;
using BenchmarkDotNet.Running;

namespace CudaLora.Bench.Ops;

/// <summary>Adds GB/s, and their share of a copy's, to the default columns.</summary>
public sealed class OpConfig : ManualConfig
{
    /// <summary>The default configuration with the extra columns.</summary>
    public OpConfig() => AddColumn(new BandwidthColumn(), new CeilingColumn());

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
            var rate = OpTraffic.Rate(summary, benchmarkCase);
            return rate is double value ? (value / 1e9).ToString("0.0", CultureInfo.InvariantCulture) : "";
        }

        public string GetValue(Summary summary, BenchmarkCase benchmarkCase, SummaryStyle style) =>
            GetValue(summary, benchmarkCase);

        public bool IsDefault(Summary summary, BenchmarkCase benchmarkCase) => false;

        public bool IsAvailable(Summary summary) => true;
    }
}
