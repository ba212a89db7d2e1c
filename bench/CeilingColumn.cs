using System.Globalization;
using BenchmarkDotNet.Columns;
using BenchmarkDotNet.Reports;
using BenchmarkDotNet.Running;
using CudaLora.Bench.Ops;
using CudaLora.Cli;

namespace CudaLora.Bench;

/// <summary>
/// The share of the machine's ceiling, measured in this process when the first table is made: of a copy's bandwidth for
/// what moves data, of multiply-adds between registers for the others.
/// </summary>
internal sealed class CeilingColumn : IColumn
{
    private static readonly Lazy<BenchCeiling> Measured = new(() =>
        new BenchRun(new Terminal(TextWriter.Null, TextWriter.Null), BenchBudget.Quick, default)
            .Measure([KernelCases.Peak(1), KernelCases.Copy(1)]).Ceiling);

    public string Id => nameof(CeilingColumn);

    public string ColumnName => "of ceiling";

    public string Legend =>
        "Share of a copy's bandwidth (GB/s) or of multiply-adds between registers (GFLOP/s), measured in this run";

    public bool AlwaysShow => true;

    public ColumnCategory Category => ColumnCategory.Custom;

    public int PriorityInCategory => 1;

    public bool IsNumeric => true;

    public UnitType UnitType => UnitType.Dimensionless;

    public bool IsAvailable(Summary summary) => true;

    public bool IsDefault(Summary summary, BenchmarkCase benchmarkCase) => false;

    public string GetValue(Summary summary, BenchmarkCase benchmarkCase)
    {
        if (OpTraffic.Rate(summary, benchmarkCase) is double bytes)
            return Percent(bytes / Measured.Value.Bytes);
        var work = benchmarkCase.Parameters.Items.Select(p => p.Value).OfType<IWork>().FirstOrDefault();
        if (work is null || summary[benchmarkCase]?.ResultStatistics is not { } statistics)
            return "-";
        var rate = work.Flops / (statistics.Median * 1e-9);
        return Percent(rate / (work.IsTraffic ? Measured.Value.Bytes : Measured.Value.Flops));
    }

    public string GetValue(Summary summary, BenchmarkCase benchmarkCase, SummaryStyle style) =>
        GetValue(summary, benchmarkCase);

    private static string Percent(double share) => share.ToString("P0", CultureInfo.InvariantCulture);
}
