using System.Runtime.InteropServices;
using CudaLora.Kernels.Driver;
using CudaLora.Kernels.Runtime;

namespace CudaLora.Kernels.Ops;

/// <summary>
/// Nf4Dequantize.ptx: the values of a 4-bit matrix in blocks, dense or into a buffer with wider rows, in one launch with
/// the nested scales; the same bits as on the CPU.
/// </summary>
public static class Nf4Dequantize
{
    private const int Block = 128, Columns = 4096;

    /// <summary>
    /// codes packed u8; codebook (16) f32; absMax f32 per block, or 0 and then codes8 u8 per block, groups f32 per group
    /// of them, map (256) f32; y (rows, cols), rows ldY apart.
    /// </summary>
    [StructLayout(LayoutKind.Sequential, Pack = 4)]
    public readonly record struct Args(
        ulong Codes, ulong Codebook, ulong AbsMax, ulong Codes8, ulong Groups, ulong Map, ulong Y, int Cols, int LdY,
        float Offset, int BlockShift, int GroupShift);

    /// <summary>A block per row and 4096 columns.</summary>
    public static LaunchShape Shape(int rows, int cols) => new(rows * ((cols + Columns - 1) / Columns), Block);

    /// <summary>Queues y = values, f32 or bf16.</summary>
    public static void Launch(CudaStream stream, bool bf16, int rows, in Args args)
    {
        if (rows == 0 || args.Cols == 0) return;
        Kernel<Args> kernel = bf16
            ? stream.Context.Modules.Kernel<Args>("Nf4DequantizeBf16", "nf4_dequantize_bf16")
            : stream.Context.Modules.Kernel<Args>("Nf4Dequantize", "nf4_dequantize_f32");
        kernel.Launch(stream, Shape(rows, args.Cols), args);
    }
}
