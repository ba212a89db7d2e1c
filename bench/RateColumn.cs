using BenchmarkDotNet.Columns;
using BenchmarkDotNet.Configs;
using BenchmarkDotNet.Reports;
using BenchmarkDotNet.Running;

namespace CudaLora.Bench;

/// <summary>A benchmark parameter that knows how much arithmetic one call does.</summary>
internal interface IWork
{
    double Flops { get; }

    /// <summary>Whether <see cref="Flops"/> counts bytes moved, to be held against a copy.</summary>
    bool IsTraffic => false;
}

/// <summary>GFLOP/s of the median call, for benchmarks with an <see cref="IWork"/> parameter.</summary>
internal sealed class RateColumn : IColumn
{
    public string Id => nameof(RateColumn);
    public string ColumnName => "GFLOP/s";
    public string Legend => "10^9 floating-point operations per second, from the median";
    public bool AlwaysShow => true;
    public ColumnCategory Category => ColumnCategory.Custom;
    public int PriorityInCategory => 0;
    public bool IsNumeric => true;
    public UnitType UnitType => UnitType.Dimensionless;

    public bool IsAvailable(Summary summary) => true;

    public bool IsDefault(Summary summary, BenchmarkCase benchmarkCase) => false;

    public string GetValue(Summary summary, BenchmarkCase benchmarkCase)
    {
        IWork? work = benchmarkCase.Parameters.Items.Select(p => p.Value).OfType<IWork>().FirstOrDefault();
        double? median = summary[benchmarkCase]?.ResultStatistics?.Median;
        return work is null || median is null ? "-" : (work.Flops / median.Value).ToString("F1", null);
    }

    public string GetValue(Summary summary, BenchmarkCase benchmarkCase, SummaryStyle style)
        => GetValue(summary, benchmarkCase);
}

/// <summary>Adds <see cref="RateColumn"/>, its share of the ceiling, and the median.</summary>
internal sealed class RateConfig : ManualConfig
{
    public RateConfig() => AddColumn(StatisticColumn.Median, new RateColumn(), new CeilingColumn());
}
