using System.Runtime.InteropServices;
using CudaLora.Kernels.Driver;
using CudaLora.Kernels.Runtime;

namespace CudaLora.Kernels.Ops;

/// <summary>Rotary positions, rotate-half layout, on queries and keys in one launch; f32 or bf16.</summary>
public static class Rope
{
    private const int Block = 256;

    /// <summary>
    /// q, qOut (rows, qHeads, headDim), k, kOut (rows, kHeads, headDim), cos, sin (positions, headDim / 2), positions
    /// (rows). kHeads may be 0. Inverse 1 turns back; Accumulate 1 adds to the outputs.
    /// </summary>
    [StructLayout(LayoutKind.Sequential, Pack = 4)]
    public readonly record struct Args(
        ulong Q, ulong QOut, ulong K, ulong KOut, DevicePointer<float> Cos, DevicePointer<float> Sin,
        DevicePointer<int> Positions, int Rows, int QHeads, int KHeads, int HeadDim, int Inverse, int Accumulate);

    /// <summary>A block per row, a team of threads per head.</summary>
    public static LaunchShape Shape(int rows, int heads, int headDim, bool bf16)
    {
        int threads = Math.Clamp(headDim / 2 / (bf16 ? 8 : 4), 1, Block);
        return new(rows, new Dim3((uint)threads, (uint)Math.Clamp(Block / threads, 1, Math.Max(1, heads))));
    }

    /// <summary>Queues the turn.</summary>
    public static void Launch(CudaStream stream, in Args args, bool bf16)
    {
        Kernel<Args> kernel = bf16
            ? stream.Context.Modules.Kernel<Args>("RopeBf16", "rope_bf16")
            : stream.Context.Modules.Kernel<Args>("Rope", "rope_f32");
        kernel.Launch(stream, Shape(args.Rows, args.QHeads + args.KHeads, args.HeadDim, bf16), args);
    }
}
