using System.Runtime.InteropServices;
using CudaLora.Kernels.Driver;
using CudaLora.Kernels.Runtime;

namespace CudaLora.Kernels.Ops;

/// <summary>
/// GemmSimt.ptx (f32) and GemmSimtBf16.ptx: c (m, n) = alpha op(a) op(b) + beta c by f32 multiply-adds, for any layout,
/// pitch and address. The f32 products are exact; the bf16 entry serves what <see cref="GemmMma"/> cannot read.
/// </summary>
public static class GemmSimt
{
    private const int Tile = 128;

    /// <summary>
    /// Parameters of the f32 entry; strides and pitches in elements, flags 0 or 1. WholeA, WholeB: vectors of four
    /// never straddle an edge and are aligned, see <see cref="Whole"/>.
    /// </summary>
    [StructLayout(LayoutKind.Sequential, Pack = 4)]
    public readonly record struct Args(
        ulong A, ulong B, ulong C, long StrideA, long StrideB, long StrideC, int M, int N, int K, int Lda, int Ldb,
        int Ldc, int TransA, int TransB, int WholeA, int WholeB, float Alpha, float Beta, int OutBf16);

    /// <summary>Parameters of the bf16 entry.</summary>
    [StructLayout(LayoutKind.Sequential, Pack = 4)]
    public readonly record struct Bf16Args(
        ulong A, ulong B, ulong C, long StrideA, long StrideB, long StrideC, int M, int N, int K, int Lda, int Ldb,
        int Ldc, int TransA, int TransB, float Alpha, float Beta, int OutBf16);

    /// <summary>A block per 128 x 128 tile of c.</summary>
    public static LaunchShape Shape(int m, int n, int batch) =>
        new(new Dim3((uint)(n + Tile - 1) / Tile, (uint)(m + Tile - 1) / Tile, (uint)batch), 256);

    /// <summary>1 if an f32 matrix can be read in vectors of four along its inner dimension.</summary>
    public static int Whole(ulong address, int inner, int pitch, long stride) =>
        address % 16 == 0 && ((uint)inner | (uint)pitch | (ulong)stride) % 4 == 0 ? 1 : 0;

    /// <summary>Queues a product of f32 matrices.</summary>
    public static void Launch(CudaStream stream, int batch, in Args args) =>
        stream.Context.Modules.Kernel<Args>("GemmSimt", "gemm_simt_f32")
            .Launch(stream, Shape(args.M, args.N, batch), args);

    /// <summary>Queues a product of bf16 matrices.</summary>
    public static void Launch(CudaStream stream, int batch, in Bf16Args args) =>
        stream.Context.Modules.Kernel<Bf16Args>("GemmSimtBf16", "gemm_simt_bf16")
            .Launch(stream, Shape(args.M, args.N, batch), args);
}
