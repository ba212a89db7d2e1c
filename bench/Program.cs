using BenchmarkDotNet.Running;
using CudaLora.Bench.Gpu;

if (args is ["gpu", ..])
    return GpuBench.Run(args[1..]);
BenchmarkSwitcher.FromAssembly(typeof(GpuBench).Assembly).Run(args);
return 0;
