using System.Globalization;
using BenchmarkDotNet.Columns;
using BenchmarkDotNet.Mathematics;
using BenchmarkDotNet.Reports;
using BenchmarkDotNet.Running;
using CudaLora.Cli;

namespace CudaLora.Bench;

/// <summary>A figure made of a case's <see cref="Work"/> and its times in nanoseconds.</summary>
internal sealed class WorkColumn(string name, string legend, int place, Func<Work, Statistics, string> figure) : IColumn
{
    private const string None = "-";

    public string Id => ColumnName;

    public string ColumnName => name;

    public string Legend => legend;

    public bool AlwaysShow => true;

    public ColumnCategory Category => ColumnCategory.Custom;

    public int PriorityInCategory => place;

    public bool IsNumeric => true;

    public UnitType UnitType => UnitType.Dimensionless;

    /// <summary>The median with a unit of its own, and its noise.</summary>
    public static WorkColumn[] Times =>
    [
        new("time", "Median of one call", -2, (_, times) => BenchTables.Time(Seconds(times))),
        new("noise", "Half the distance of the quartiles over the median", -1,
            (_, times) => Figures.Percent(times.InterquartileRange / 2 / times.Median)),
    ];

    /// <summary>Rates, and what they are held against.</summary>
    public static WorkColumn[] All =>
    [
        new("GB/s", "10^9 bytes that must move at least, over the median", 0,
            (work, times) => Digits(work.Bytes / Seconds(times) / 1e9)),
        new("GFLOP/s", "10^9 floating-point operations per second, from the median", 1,
            (work, times) => Digits(work.Flops / Seconds(times) / 1e9)),
        new("tokens/s", "Tokens per second, from the median", 2, (work, times) => Digits(work.Tokens / Seconds(times))),
        new("of ceiling", CeilingLegend, 3, OfCeiling),
        new("least MB", "10^6 bytes that one call must read and write at least, every tensor once", 4,
            (work, _) => Digits(work.Bytes / 1e6)),
    ];

    private static string CeilingLegend =>
        "Share of the time that multiply-adds between registers or a copy, both measured in this run, would take; what "
        + "fits the caches can be above 100 %";

    public bool IsAvailable(Summary summary) => true;

    public bool IsDefault(Summary summary, BenchmarkCase benchmarkCase) => false;

    public string GetValue(Summary summary, BenchmarkCase benchmarkCase) =>
        summary[benchmarkCase]?.ResultStatistics is { } times ? figure(Work.Of(benchmarkCase) ?? default, times) : None;

    public string GetValue(Summary summary, BenchmarkCase benchmarkCase, SummaryStyle style) =>
        GetValue(summary, benchmarkCase);

    private static double Seconds(Statistics times) => times.Median * 1e-9;

    private static string OfCeiling(Work work, Statistics times)
    {
        var least = Ceilings.Measured.Least(work.Flops, work.Bytes);
        return least > 0 ? (least / Seconds(times)).ToString("P0", CultureInfo.InvariantCulture) : None;
    }

    private static string Digits(double value) => value switch
    {
        0 => None,
        < 10 => value.ToString("0.00", CultureInfo.InvariantCulture),
        < 100 => value.ToString("0.0", CultureInfo.InvariantCulture),
        _ => value.ToString("0", CultureInfo.InvariantCulture),
    };
}
