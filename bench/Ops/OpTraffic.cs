using System.Reflection;
using BenchmarkDotNet.Reports;
using BenchmarkDotNet.Running;

namespace CudaLora.Bench.Ops;

/// <summary>Bytes per second of the benchmarks that have a <see cref="TrafficAttribute"/>.</summary>
internal static class OpTraffic
{
    /// <summary>Bytes that must move at least over the mean time; null where one of the two is not known.</summary>
    public static double? Rate(Summary summary, BenchmarkCase benchmarkCase)
    {
        var traffic = benchmarkCase.Descriptor.Type.GetCustomAttribute<TrafficAttribute>();
        if (traffic is null || summary[benchmarkCase]?.ResultStatistics is not { } statistics)
            return null;
        var tensors = benchmarkCase.Descriptor.WorkloadMethod.Name == nameof(OpBench.Forward)
            ? traffic.Forward
            : traffic.Forward + traffic.Backward;
        return tensors * OpBench.Rows * OpBench.Columns * sizeof(float) / (statistics.Mean * 1e-9);
    }
}
