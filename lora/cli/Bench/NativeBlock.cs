using System.Runtime.InteropServices;
using CudaLora.Kernels.Simd;

namespace CudaLora.Cli;

/// <summary>Floats outside the heap, on a cache line's edge, small and random.</summary>
internal sealed unsafe class NativeBlock : IDisposable
{
    private const int Alignment = 64;

    public NativeBlock(long count, ulong seed)
    {
        Pointer = (float*)NativeMemory.AlignedAlloc((nuint)count * sizeof(float), Alignment);
        RandomFill.Normal(Pointer, count, 0, 0.02f, seed, 0);
    }

    public float* Pointer { get; private set; }

    public void Dispose()
    {
        NativeMemory.AlignedFree(Pointer);
        Pointer = null;
    }
}
