using BenchmarkDotNet.Running;
using CudaLora.Bench;
using CudaLora.Bench.Gpu;
using CudaLora.Bench.Processes;
using CudaLora.Bench.Readme;

BenchArguments asked;
try
{
    asked = BenchArguments.Read(args);
}
catch (ArgumentException e)
{
    Console.Error.WriteLine(e.Message);
    return 2;
}
switch (asked.Mode)
{
    case "gpu":
        return GpuBench.Run(asked.Rest);
    case "process":
        return ProcessBench.Run(asked.Rest);
    case "readme":
        return ReadmeFigures.Run(asked.Rest);
    default:
        asked.Set();
        var summaries = BenchmarkSwitcher.FromAssembly(typeof(BenchArguments).Assembly)
            .Run(asked.Rest, asked.Quick ? new QuickConfig() : null);
        return summaries.Any(summary => summary.HasCriticalValidationErrors || summary.Reports.Any(r => !r.Success))
            ? 1
            : 0;
}
