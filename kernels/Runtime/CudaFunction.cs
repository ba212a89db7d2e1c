namespace CudaLora.Kernels.Runtime;

/// <summary>A loaded entry and what it costs per thread and per block.</summary>
/// <param name="Name">The entry's name in the PTX text.</param>
/// <param name="Handle">The driver's handle.</param>
/// <param name="Registers">32-bit registers per thread.</param>
/// <param name="SharedBytes">Static shared memory per block.</param>
/// <param name="LocalBytes">Local memory per thread: spills and arrays.</param>
/// <param name="MaxThreads">Most threads per block at this register count.</param>
public sealed record CudaFunction(
    string Name, nint Handle, int Registers, int SharedBytes, int LocalBytes, int MaxThreads);
