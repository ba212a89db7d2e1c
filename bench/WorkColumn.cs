using System.Globalization;
using BenchmarkDotNet.Columns;
using BenchmarkDotNet.Reports;
using BenchmarkDotNet.Running;

namespace CudaLora.Bench;

/// <summary>A figure made of a case's <see cref="Work"/> and its median time in seconds.</summary>
internal sealed class WorkColumn(string name, string legend, int place, Func<Work, double, string> figure) : IColumn
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

    public static WorkColumn[] All =>
    [
        new("GB/s", "10^9 bytes that must move at least, over the median", 0,
            (work, seconds) => Digits(work.Bytes / seconds / 1e9)),
        new("GFLOP/s", "10^9 floating-point operations per second, from the median", 1,
            (work, seconds) => Digits(work.Flops / seconds / 1e9)),
        new("tokens/s", "Tokens per second, from the median", 2, (work, seconds) => Digits(work.Tokens / seconds)),
        new("of ceiling", CeilingLegend, 3, OfCeiling),
        new("least MB", "10^6 bytes that one call must read and write at least, every tensor once", 4,
            (work, _) => Digits(work.Bytes / 1e6)),
    ];

    private static string CeilingLegend =>
        "Share of the time that multiply-adds between registers or a copy, both measured in this run, would take";

    public bool IsAvailable(Summary summary) => true;

    public bool IsDefault(Summary summary, BenchmarkCase benchmarkCase) => false;

    public string GetValue(Summary summary, BenchmarkCase benchmarkCase) =>
        Work.Of(benchmarkCase) is { } work && summary[benchmarkCase]?.ResultStatistics is { } statistics
            ? figure(work, statistics.Median * 1e-9)
            : None;

    public string GetValue(Summary summary, BenchmarkCase benchmarkCase, SummaryStyle style) =>
        GetValue(summary, benchmarkCase);

    private static string OfCeiling(Work work, double seconds)
    {
        var least = Ceilings.Measured.Least(work.Flops, work.Bytes);
        return least > 0 ? (least / seconds).ToString("P0", CultureInfo.InvariantCulture) : None;
    }

    private static string Digits(double value) => value switch
    {
        0 => None,
        < 10 => value.ToString("0.00", CultureInfo.InvariantCulture),
        < 100 => value.ToString("0.0", CultureInfo.InvariantCulture),
        _ => value.ToString("0", CultureInfo.InvariantCulture),
    };
}
