using BenchmarkDotNet.Columns;
using BenchmarkDotNet.Reports;
using BenchmarkDotNet.Running;

namespace CudaLora.Bench;

/// <summary>All parameters of a case in one column.</summary>
internal sealed class CaseColumn : IColumn
{
    public string Id => nameof(CaseColumn);

    public string ColumnName => "Case";

    public string Legend => "Values of the parameters";

    public bool AlwaysShow => true;

    public ColumnCategory Category => ColumnCategory.Params;

    public int PriorityInCategory => 0;

    public bool IsNumeric => false;

    public UnitType UnitType => UnitType.Dimensionless;

    public bool IsAvailable(Summary summary) => true;

    public bool IsDefault(Summary summary, BenchmarkCase benchmarkCase) => false;

    public string GetValue(Summary summary, BenchmarkCase benchmarkCase) =>
        string.Join(", ", benchmarkCase.Parameters.Items.Select(item => $"{item.Value}"));

    public string GetValue(Summary summary, BenchmarkCase benchmarkCase, SummaryStyle style) =>
        GetValue(summary, benchmarkCase);
}
