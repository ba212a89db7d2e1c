using System.Runtime.InteropServices;
using CudaLora.Kernels.Driver;
using CudaLora.Kernels.Runtime;

namespace CudaLora.Kernels.Ops;

/// <summary>
/// LoraWgmma.ptx and LoraWgmmaBackward.ptx: the large product of a LoRA layer with the adapter as more k of the same
/// sums, bf16 on Hopper's warpgroup tensor cores (sm_90a): y = x W0ᵀ + S (s B)ᵀ, and dX = dY W0 + dS A.
/// </summary>
public static class LoraWgmma
{
    private const int TileM = 128, TileN = 256, TileK = 64, Stages = 4, Cluster = 2;

    /// <summary>Five tensor maps and the extents; Accumulate 1 adds to c.</summary>
    [StructLayout(LayoutKind.Sequential, Pack = 4)]
    public readonly record struct Args(
        TensorMap A, TensorMap B, TensorMap C, TensorMap A2, TensorMap B2, int M, int N, int K, int R, int Accumulate);

    /// <summary>
    /// Clusters of two blocks, at most one block per multiprocessor; each walks over tiles, so their number changes
    /// nothing in the result.
    /// </summary>
    public static LaunchShape Shape(int m, int n, int multiprocessors)
    {
        long units = (long)((m + 2 * TileM - 1) / (2 * TileM)) * ((n + TileN - 1) / TileN);
        long clusters = Math.Max(1, Math.Min(units, multiprocessors / Cluster));
        uint shared = Stages * (TileM + TileN) * TileK * 2 + 2 * 16384 + (2 * Stages + 2) * 8;
        return new((int)clusters * Cluster, 384, shared, new Dim3(Cluster));
    }

    /// <summary>True when a matrix can be the subject of a tensor map: 16-byte address and row pitch.</summary>
    public static bool Reads(ulong address, int pitch) => address % 16 == 0 && pitch % 8 == 0;

    /// <summary>
    /// y (m, n) from x (m, k), w (n, k) and, unless r is 0, s (m, r), b (n, r): all bf16, row pitches in elements and
    /// multiples of 8. With <paramref name="accumulate"/> the product is added to y.
    /// </summary>
    public static Args Forward(
        CudaContext context, ulong x, ulong w, ulong y, ulong s, ulong b, int m, int n, int k, int r, int ldx, int ldw,
        int ldy, int lds, int ldb, bool accumulate = false)
    {
        TensorMap a = Map(context, x, m, k, ldx, TileM), right = Map(context, w, n, k, ldw, TileN / 2);
        return new Args(
            a, right, Map(context, y, m, n, ldy, 64), r == 0 ? a : Map(context, s, m, r, lds, TileM),
            r == 0 ? right : Map(context, b, n, r, ldb, TileN / 2), m, n, k, r, accumulate ? 1 : 0);
    }

    /// <summary>dx (m, n) from dy (m, k), w (k, n) and, unless r is 0, ds (m, r), a (r, n).</summary>
    public static Args Backward(
        CudaContext context, ulong dy, ulong w, ulong dx, ulong ds, ulong a, int m, int n, int k, int r, int ldy,
        int ldw, int ldx, int lds, int lda, bool accumulate = false)
    {
        TensorMap left = Map(context, dy, m, k, ldy, TileM), right = Map(context, w, k, n, ldw, TileK);
        return new Args(
            left, right, Map(context, dx, m, n, ldx, 64), r == 0 ? left : Map(context, ds, m, r, lds, TileM),
            r == 0 ? right : Map(context, a, r, n, lda, TileK), m, n, k, r, accumulate ? 1 : 0);
    }

    /// <summary>Queues the product that <see cref="Forward"/> or <see cref="Backward"/> described.</summary>
    /// <param name="stream">Where to queue.</param>
    /// <param name="backward">Which of the two.</param>
    /// <param name="args">What to compute.</param>
    /// <param name="multiprocessors">Blocks at most; the device's own number if 0.</param>
    public static void Launch(CudaStream stream, bool backward, in Args args, int multiprocessors = 0)
    {
        if (multiprocessors == 0) multiprocessors = stream.Context.Properties.Multiprocessors;
        stream.Context.Modules.Kernel<Args>(
            backward ? "LoraWgmmaBackward" : "LoraWgmma", backward ? "lora_wgmma_backward" : "lora_wgmma_forward")
            .Launch(stream, Shape(args.M, args.N, multiprocessors), args);
    }

    private static TensorMap Map(CudaContext context, ulong at, int rows, int cols, int pitch, int boxRows) =>
        TensorMaps.Encode2D(
            context, TensorMapType.BFloat16, new DevicePointer<ushort>(at), rows, cols, pitch, boxRows, 64,
            TensorMapSwizzle.Bytes128);
}
