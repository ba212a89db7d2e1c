using BenchmarkDotNet.Columns;
using BenchmarkDotNet.Configs;
using BenchmarkDotNet.Exporters;
using BenchmarkDotNet.Exporters.Json;
using BenchmarkDotNet.Filters;
using BenchmarkDotNet.Jobs;
using BenchmarkDotNet.Order;
using BenchmarkDotNet.Running;
using BenchmarkDotNet.Toolchains.InProcess.Emit;
using Perfolizer.Horology;

namespace CudaLora.Bench;

/// <summary>
/// <c>--quick</c>: every benchmark in this process, with one of its sizes and few short iterations; a line of progress
/// each, then the tables.
/// </summary>
internal sealed class QuickConfig : ManualConfig
{
    public QuickConfig()
    {
        AddJob(Job.Default
            .WithToolchain(InProcessEmitToolchain.Instance)
            .WithWarmupCount(1)
            .WithIterationCount(5)
            .WithIterationTime(TimeInterval.FromMilliseconds(100))
            .WithId("Quick"));
        AddFilter(new OneSize());
        AddLogger(new QuickLogger());
        AddColumnProvider(DefaultColumnProviders.Descriptor, DefaultColumnProviders.Metrics);
        AddColumn(new CaseColumn());
        AddColumn(WorkColumn.Times);
        AddExporter(MarkdownExporter.GitHub, JsonExporter.Brief);
        WithOptions(ConfigOptions.JoinSummary);
        WithOrderer(new DefaultOrderer(SummaryOrderPolicy.Declared));
        // One table holds classes whose baselines and parameters have nothing to do with each other, and times from a
        // nanosecond to a second.
        HideColumns("Namespace", "Median", "Ratio", "RatioSD");
    }

    /// <summary>Keeps the first values of a class's parameters.</summary>
    private sealed class OneSize : IFilter
    {
        private readonly Dictionary<Type, string> first = [];

        public bool Predicate(BenchmarkCase benchmarkCase)
        {
            var values = benchmarkCase.Parameters.ValueInfo;
            return first.TryAdd(benchmarkCase.Descriptor.Type, values)
                || first[benchmarkCase.Descriptor.Type] == values;
        }
    }
}
