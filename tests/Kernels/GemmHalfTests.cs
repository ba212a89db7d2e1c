using CudaLora.Kernels.Blas;
using CudaLora.Kernels.Driver;
using CudaLora.Kernels.Emulator;
using CudaLora.Kernels.Runtime;

namespace CudaLora.Tests;

/// <summary>Products of f16 matrices, with f16 and f32 results, against a double-precision oracle.</summary>
public sealed class GemmHalfTests
{
    private const int M = 12, N = 20, K = 16;

    [Theory]
    [InlineData("cublas", false, true, GemmType.F16)]
    [InlineData("cublas", true, false, GemmType.F16)]
    [InlineData("cublas", false, false, GemmType.F32)]
    [InlineData("cublas", true, true, GemmType.F32)]
    [InlineData("emulator", false, true, GemmType.F16)]
    [InlineData("emulator", true, false, GemmType.F32)]
    public void MatchesTheOracle(string kind, bool transA, bool transB, GemmType to)
    {
        using CudaContext context = CudaContext.Open(Driver(kind));
        using IGemm gemm = kind == "cublas" ? Cublas(context) : context.Driver.CreateGemm(context);
        GemmShape shape = GemmShape.Dense(M, N, K, transA, transB, GemmType.F16, to);
        var random = new Random(4);
        Half[] a = Values(random, M * K), b = Values(random, K * N), c = Values(random, M * N);
        using DeviceBuffer<Half> da = context.Memory.Allocate<Half>(M * K), db = context.Memory.Allocate<Half>(K * N),
            dc = context.Memory.Allocate<Half>(M * N);
        using DeviceBuffer<float> wide = context.Memory.Allocate<float>(M * N);
        da.Upload(a);
        db.Upload(b);
        dc.Upload(c);
        wide.Upload([.. c.Select(v => (float)v)]);
        bool half = to == GemmType.F16;
        gemm.Run(context.Stream, shape, da.Pointer.Address, db.Pointer.Address,
            half ? dc.Pointer.Address : wide.Pointer.Address, 0.5f, -2);
        double[] found = half ? [.. dc.ToArray().Select(v => (double)v)] : [.. wide.ToArray().Select(v => (double)v)];

        // Rounded once to 11 bits, or summed in f32.
        double tolerance = half ? 1.0 / 2048 : 1e-5;
        for (int i = 0; i < M; i++)
        {
            for (int j = 0; j < N; j++)
            {
                double sum = 0;
                for (int l = 0; l < K; l++)
                {
                    (int atA, int atB) = (transA ? (l * M) + i : (i * K) + l, transB ? (j * K) + l : (l * N) + j);
                    sum += (double)a[atA] * (double)b[atB];
                }
                double want = (0.5 * sum) - (2 * (double)c[(i * N) + j]);
                Assert.True(Math.Abs(found[(i * N) + j] - want) <= tolerance * (1 + Math.Abs(want)),
                    $"({i}, {j}): {found[(i * N) + j]}, expected {want}");
            }
        }
    }

    private static Half[] Values(Random random, int count) =>
        [.. Enumerable.Range(0, count).Select(_ => (Half)((random.NextDouble() * 4) - 2))];

    private static ICudaDriver Driver(string kind)
    {
        if (kind != "cublas") return new EmulatedDriver();
        string path = StubLibrary.Require("libcuda_stub.c", "libcuda.so.1");
        Assert.True(LibCuda.TryLoad(path, out LibCuda? driver, out string why), why);
        return driver;
    }

    private static CublasGemm Cublas(CudaContext context)
    {
        string path = StubLibrary.Require("libcublaslt_stub.c", "libcublasLt.so.12");
        Assert.True(CublasGemm.TryCreate(context, out CublasGemm? gemm, out string reason, null, [path]), reason);
        return gemm;
    }
}
