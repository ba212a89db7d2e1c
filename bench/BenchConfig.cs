using BenchmarkDotNet.Columns;
using BenchmarkDotNet.Configs;
using BenchmarkDotNet.Diagnosers;

namespace CudaLora.Bench;

/// <summary>
/// What every benchmark shows: the median, the rates of its <see cref="Work"/>, and managed allocations.
/// </summary>
internal sealed class BenchConfig : ManualConfig
{
    public BenchConfig()
    {
        AddColumn(StatisticColumn.Median);
        AddColumn(WorkColumn.All);
        AddDiagnoser(MemoryDiagnoser.Default);
        // The columns say it.
        HideColumns("Gen0", "Gen1", "Gen2");
    }
}
