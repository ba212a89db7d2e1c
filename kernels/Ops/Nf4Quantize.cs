using System.Runtime.InteropServices;
using CudaLora.Kernels.Driver;
using CudaLora.Kernels.Runtime;

namespace CudaLora.Kernels.Ops;

/// <summary>Nf4Quantize.ptx: NF4 codes and scales of a matrix in one launch; the same bits as on the CPU.</summary>
public static class Nf4Quantize
{
    private const int Block = 128, BlocksEach = 4;

    /// <summary>
    /// x (n) f32 or bf16; codes (n + 1) / 2 bytes; absMax f32 per block of 2^blockShift; flag u32 or 0, set to 1 when a
    /// value is not finite.
    /// </summary>
    [StructLayout(LayoutKind.Sequential, Pack = 4)]
    public readonly record struct Args(ulong X, ulong Codes, ulong AbsMax, ulong Flag, long N, int BlockShift);

    /// <summary>A warp per block of values.</summary>
    public static LaunchShape Shape(long n, int blockShift)
    {
        long blocks = (n + (1L << blockShift) - 1) >> blockShift;
        return new((int)((blocks + BlocksEach - 1) / BlocksEach), Block);
    }

    /// <summary>Queues codes and absMax.</summary>
    public static void Launch(CudaStream stream, bool bf16, in Args args)
    {
        if (args.N == 0) return;
        Kernel<Args> kernel = bf16
            ? stream.Context.Modules.Kernel<Args>("Nf4QuantizeBf16", "nf4_quantize_bf16")
            : stream.Context.Modules.Kernel<Args>("Nf4Quantize", "nf4_quantize_f32");
        kernel.Launch(stream, Shape(args.N, args.BlockShift), args);
    }
}
