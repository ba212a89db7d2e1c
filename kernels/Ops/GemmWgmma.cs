using System.Runtime.InteropServices;
using CudaLora.Kernels.Driver;
using CudaLora.Kernels.Runtime;

namespace CudaLora.Kernels.Ops;

/// <summary>
/// GemmWgmma.ptx: c (m, n) = a (m, k) b (n, k)^T, all bf16, sums in f32, on Hopper's warpgroup tensor cores (sm_90a).
/// </summary>
public static class GemmWgmma
{
    private const int TileM = 128, TileN = 256, TileK = 64, Stages = 4;

    /// <summary>Parameters: three tensor maps and k.</summary>
    [StructLayout(LayoutKind.Sequential, Pack = 4)]
    public readonly record struct Args(TensorMap A, TensorMap B, TensorMap C, int K);

    /// <summary>
    /// A block per 128 x 256 tile; the ring of stages and its eight barriers in dynamic shared memory.
    /// </summary>
    public static LaunchShape Shape(int m, int n) => new(
        new Dim3((uint)(n + TileN - 1) / TileN, (uint)(m + TileM - 1) / TileM), 384,
        SharedBytes: Stages * (TileM + TileN) * TileK * 2 + 2 * Stages * 8);

    /// <summary>The parameters for matrices at the given addresses; row pitches in elements, multiples of 8.</summary>
    public static Args Describe(
        CudaContext context, DevicePointer<ushort> a, DevicePointer<ushort> b, DevicePointer<ushort> c, int m, int n,
        int k, int lda, int ldb, int ldc)
    {
        const TensorMapType Type = TensorMapType.BFloat16;
        const TensorMapSwizzle Swizzle = TensorMapSwizzle.Bytes128;
        return new Args(
            TensorMaps.Encode2D(context, Type, a, m, k, lda, TileM, TileK, Swizzle),
            TensorMaps.Encode2D(context, Type, b, n, k, ldb, TileN, TileK, Swizzle),
            TensorMaps.Encode2D(context, Type, c, m, n, ldc, 64, 64, Swizzle), k);
    }

    /// <summary>Queues the product that <see cref="Describe"/> prepared.</summary>
    public static void Launch(CudaStream stream, int m, int n, in Args args) =>
        stream.Context.Modules.Kernel<Args>("GemmWgmma", "gemm_wgmma_nt").Launch(stream, Shape(m, n), args);
}

internal sealed class GemmWgmmaLab : KernelLab
{
    public override string Stem => "GemmWgmma";
    public override string Entry => "gemm_wgmma_nt";
    public override string? Note =>
        "a and b are read again by every tile of the other, from L2; the odd shape ends in ragged tiles";
    public override string Summary => "c = a b^T, bf16 warpgroup tensor cores (wgmma) fed by TMA";
    public override Type Args => typeof(GemmWgmma.Args);
    public override IReadOnlyList<string> ShapeNames => ["m", "n", "k"];
    public override IReadOnlyList<int> DefaultShape => [200, 264, 328];
    public override int Capability => 90;

    protected override LabRun Try(CudaContext context, IReadOnlyList<int> shape, LabInputs inputs)
    {
        (int m, int n, int k) = (shape[0], shape[1], shape[2]);
        if (n % 8 != 0 || k % 8 != 0)
            throw new ArgumentException($"[{Entry}] n and k must be multiples of 8, but got n {n}, k {k}");
        float[] a = inputs.Values(m * k), b = inputs.Values(n * k);
        using DeviceBuffer<ushort> da = inputs.DeviceBf16(a), db = inputs.DeviceBf16(b);
        using DeviceBuffer<ushort> dc = inputs.Empty<ushort>(m * n);
        GemmWgmma.Args args =
            GemmWgmma.Describe(context, da.Pointer, db.Pointer, dc.Pointer, m, n, k, k, k, n);
        GemmWgmma.Launch(context.Stream, m, n, args);
        var expected = new double[m * n];
        for (int i = 0; i < m; i++)
        {
            for (int j = 0; j < n; j++)
            {
                double sum = 0;
                for (int l = 0; l < k; l++) sum += (double)a[i * k + l] * b[j * k + l];
                expected[i * n + j] = sum;
            }
        }
        // The result is rounded to bf16: half of 2^-8 of its size.
        long bytes = 2L * (a.Length + b.Length + expected.Length);
        return new LabRun(
            GemmWgmma.Shape(m, n), Distance(LabInputs.Widen(dc), expected), 1.0 / 256, bytes, 2.0 * m * n * k);
    }
}
