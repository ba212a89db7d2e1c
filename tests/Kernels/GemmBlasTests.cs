using System.Runtime.InteropServices;
using CudaLora.Kernels.Blas;
using CudaLora.Kernels.Driver;
using CudaLora.Kernels.Emulator;
using CudaLora.Kernels.Ops;
using CudaLora.Kernels.Runtime;

namespace CudaLora.Tests;

/// <summary>
/// Every IGemm against the same double-precision oracle: all layouts, pitches, batches, alpha and beta.
/// </summary>
public sealed unsafe class GemmBlasTests
{
    public static TheoryData<string, bool, bool, GemmType, GemmType, int> Cases()
    {
        var data = new TheoryData<string, bool, bool, GemmType, GemmType, int>();
        foreach (string kind in new[] { "cublas", "ptx", "emulator" })
        {
            foreach ((bool ta, bool tb) in new[] { (false, false), (false, true), (true, false), (true, true) })
            {
                foreach ((GemmType from, GemmType to) in new[]
                {
                    (GemmType.F32, GemmType.F32), (GemmType.BF16, GemmType.F32), (GemmType.BF16, GemmType.BF16),
                })
                {
                    data.Add(kind, ta, tb, from, to, 1);
                    data.Add(kind, ta, tb, from, to, 3);
                }
            }
        }
        return data;
    }

    public static TheoryData<bool, bool, GemmType, GemmType, int, int> Edges()
    {
        var data = new TheoryData<bool, bool, GemmType, GemmType, int, int>();
        foreach ((bool ta, bool tb) in new[] { (false, false), (false, true), (true, false), (true, true) })
        {
            foreach ((GemmType from, GemmType to) in new[]
            {
                (GemmType.F32, GemmType.F32), (GemmType.BF16, GemmType.F32), (GemmType.BF16, GemmType.BF16),
            })
            {
                data.Add(ta, tb, from, to, 8, 0);
                data.Add(ta, tb, from, to, 0, 0);
                data.Add(ta, tb, from, to, 3, 1);
            }
        }
        return data;
    }

    [Theory]
    [MemberData(nameof(Cases))]
    public void MatchesTheOracle(string kind, bool transA, bool transB, GemmType from, GemmType to, int batch)
    {
        (int m, int n, int k) = (24, 40, 16);
        (int rowsA, int colsA, int rowsB, int colsB) = (transA ? k : m, transA ? m : k, transB ? n : k, transB ? k : n);
        Compare(kind, offset: 0, new GemmShape(m, n, k, transA, transB, from, to, colsA + 8, colsB + 16, n + 4)
        {
            Batch = batch,
            StrideA = rowsA * (colsA + 8) + 8,
            StrideB = rowsB * (colsB + 16),
            StrideC = m * (n + 4) + 4,
        });
    }

    /// <summary>The project's own kernels at every edge: cut tiles, pitches and addresses at will.</summary>
    [Theory]
    [MemberData(nameof(Edges))]
    public void PtxServesAnyShapeAndAddress(bool transA, bool transB, GemmType from, GemmType to, int pad, int offset)
    {
        foreach ((int m, int n, int k) in new[] { (1, 1, 1), (7, 130, 33), (129, 5, 18), (17, 19, 66) })
        {
            (int colsA, int colsB) = (transA ? m : k, transB ? k : n);
            // Rows of a multiple of 8 go the way of 16-byte units, others element by element.
            int Pitch(int cols) => pad == 8 ? (cols + 7) / 8 * 8 : cols + pad;
            Compare("ptx", offset, new GemmShape(m, n, k, transA, transB, from, to, Pitch(colsA), Pitch(colsB), n + pad)
            {
                StrideA = 8L * (transA ? k : m) * (colsA + 8),
                StrideB = 8L * (transB ? n : k) * (colsB + 8),
                StrideC = m * (n + pad) + 1,
            });
        }
    }

    /// <summary>Large plain bf16 products go to warpgroups on sm_90, which the emulator is.</summary>
    [Theory]
    [InlineData(false)]
    [InlineData(true)]
    public void PtxTakesWgmmaForLargeProducts(bool transB)
    {
        string launched = "";
        using var driver = new EmulatedDriver { Launched = report => launched = report.Kernel };
        using CudaContext context = CudaContext.Open(driver);
        using var gemm = new PtxGemm(context);
        var inputs = new LabInputs(context, 5);
        (int m, int n, int k) = (264, 272, 40);
        float[] a = inputs.Values(m * k), b = inputs.Values(n * k);
        using DeviceBuffer<ushort> da = inputs.DeviceBf16(a), db = inputs.DeviceBf16(b), dc = inputs.Empty<ushort>(m * n);
        gemm.Run(
            context.Stream, GemmShape.Dense(m, n, k, false, transB, GemmType.BF16, GemmType.BF16), da.Pointer.Address,
            db.Pointer.Address, dc.Pointer.Address);
        float[] result = LabInputs.Widen(dc);
        Assert.StartsWith("lora_wgmma", launched, StringComparison.Ordinal);
        for (int i = 0; i < m * n; i++)
        {
            (int row, int col) = (i / n, i % n);
            double sum = 0;
            for (int l = 0; l < k; l++) sum += (double)a[row * k + l] * b[transB ? col * k + l : l * n + col];
            // Rounded once to bf16.
            Assert.Equal(sum, result[i], (1 + Math.Abs(sum)) / 256);
        }
    }

    private static void Compare(string kind, int offset, GemmShape shape)
    {
        (int m, int n, int k, int batch) = (shape.M, shape.N, shape.K, shape.Batch);
        (bool transA, bool transB, GemmType from, GemmType to) =
            (shape.TransA, shape.TransB, shape.InputType, shape.OutputType);
        using CudaContext context = CudaContext.Open(Driver(kind));
        using IGemm gemm = kind switch
        {
            "cublas" => Cublas(context, null),
            "ptx" => new PtxGemm(context),
            _ => context.Driver.CreateGemm(context),
        };
        var inputs = new LabInputs(context, 5);
        float[] a = inputs.Values((int)(batch * shape.StrideA) + offset);
        float[] b = inputs.Values((int)(batch * shape.StrideB) + offset);
        float[] c = inputs.Values((int)(batch * shape.StrideC) + offset);
        using var da = new LabTensor(inputs, a, from == GemmType.BF16);
        using var db = new LabTensor(inputs, b, from == GemmType.BF16);
        using var dc = new LabTensor(inputs, c, to == GemmType.BF16);
        ulong skip = (ulong)(offset * (from == GemmType.BF16 ? 2 : 4));
        ulong skipC = (ulong)(offset * (to == GemmType.BF16 ? 2 : 4));
        gemm.Run(context.Stream, shape, da.Address + skip, db.Address + skip, dc.Address + skipC, 0.5f, -2);
        float[] result = dc.ToArray();

        // Rounded once to bf16, or summed in f32.
        double tolerance = to == GemmType.BF16 ? 1.0 / 128 : 1e-5;
        for (int s = 0; s < batch; s++)
        {
            for (int i = 0; i < m; i++)
            {
                for (int j = 0; j < n; j++)
                {
                    double sum = 0;
                    for (int l = 0; l < k; l++)
                    {
                        long ia = offset + s * shape.StrideA + (transA ? l * shape.Lda + i : i * shape.Lda + l);
                        long ib = offset + s * shape.StrideB + (transB ? j * shape.Ldb + l : l * shape.Ldb + j);
                        sum += (double)a[ia] * b[ib];
                    }
                    long ic = offset + s * shape.StrideC + i * shape.Ldc + j;
                    double expected = 0.5 * sum - 2 * c[ic];
                    Assert.True(
                        Math.Abs(result[ic] - expected) <= tolerance * (1 + Math.Abs(expected)),
                        $"matrix {s} ({i}, {j}): {result[ic]}, expected {expected}");
                }
                // What lies between the rows stays.
                long after = offset + s * shape.StrideC + i * shape.Ldc + n;
                if (shape.Ldc > n || i == m - 1) Assert.Equal(c[after], result[after]);
            }
        }
    }

    [Fact]
    public void AChoiceIsTimedOnceAndFrozenInTheFile()
    {
        using var folder = new TemporaryFolder();
        string file = folder.File("gemm.tsv");
        using CudaContext context = CudaContext.Open(Driver("cublas"));
        nint library = NativeLibrary.Load(StubLibrary.Require("libcublaslt_stub.c", "libcublasLt.so.12"));
        var heuristics = (delegate* unmanaged<int>)NativeLibrary.GetExport(library, "stub_heuristics");
        var products = (delegate* unmanaged<int>)NativeLibrary.GetExport(library, "stub_products");
        var algorithm = (delegate* unmanaged<ulong>)NativeLibrary.GetExport(library, "stub_algorithm");
        using DeviceBuffer<float> x = context.Memory.Allocate<float>(64);
        x.Zero();
        GemmShape shape = GemmShape.Dense(8, 8, 8, false, true, GemmType.F32, GemmType.F32);

        int asked = heuristics();
        using (CublasGemm gemm = Cublas(context, file))
        {
            gemm.Run(context.Stream, shape, x.Pointer.Address, x.Pointer.Address, x.Pointer.Address);
            Assert.Equal(asked + 1, heuristics());
            int ran = products();
            gemm.Run(context.Stream, shape, x.Pointer.Address, x.Pointer.Address, x.Pointer.Address);
            Assert.Equal((asked + 1, ran + 1), (heuristics(), products()));
        }
        string line = Assert.Single(File.ReadAllLines(file));
        Assert.StartsWith("120401 Stub 0\t(8, 8, 8) b^T F32 to F32", line, StringComparison.Ordinal);
        // Another process would start from the file: no question, and the algorithm that is written there.
        File.WriteAllText(file, "damaged\n" + line[..^128] + new string('7', 128) + "\n");
        using (CublasGemm gemm = Cublas(context, file))
        {
            gemm.Run(context.Stream, shape, x.Pointer.Address, x.Pointer.Address, x.Pointer.Address);
        }
        Assert.Equal(asked + 1, heuristics());
        Assert.Equal(0x7777777777777777UL, algorithm());
    }

    [Fact]
    public void StructsHaveTheHeadersLayout()
    {
        Assert.Equal(64, sizeof(LtAlgorithm));
        Assert.Equal(96, sizeof(LtHeuristic));
        LtHeuristic h;
        Assert.Equal(64, (byte*)&h.WorkspaceBytes - (byte*)&h);
        Assert.Equal(72, (byte*)&h.State - (byte*)&h);
        Assert.Equal(76, (byte*)&h.Waves - (byte*)&h);
    }

    [Fact]
    public void AMissingLibraryIsAnAnswer()
    {
        using CudaContext context = CudaContext.Open(new RecordingDriver());
        Assert.False(CublasGemm.TryCreate(context, out _, out string reason, libraries: ["libcublasLt.so.999"]));
        Assert.Equal("none of libcublasLt.so.999 was found", reason);
    }

    [Fact]
    public void WrongShapesAreOneClearLine()
    {
        using CudaContext context = CudaContext.Open(new RecordingDriver());
        using var gemm = new PtxGemm(context);
        GemmShape half = GemmShape.Dense(8, 16, 8, false, true, GemmType.F16, GemmType.F32);
        var error = Assert.Throws<ArgumentException>(() => gemm.Run(context.Stream, half, 1, 2, 3));
        Assert.Contains("[gemm] the PTX kernels take F32 and BF16", error.Message, StringComparison.Ordinal);
        GemmShape narrow = half with { InputType = GemmType.BF16, Ldc = 8 };
        error = Assert.Throws<ArgumentException>(() => gemm.Run(context.Stream, narrow, 1, 2, 3));
        Assert.Contains("[gemm] rows must hold 8, 8 and 16 elements", error.Message, StringComparison.Ordinal);
    }

    private static ICudaDriver Driver(string kind)
    {
        if (kind != "cublas") return new EmulatedDriver();
        Assert.True(
            LibCuda.TryLoad(StubLibrary.Require("libcuda_stub.c", "libcuda.so.1"), out LibCuda? driver, out string why),
            why);
        return driver;
    }

    private static CublasGemm Cublas(CudaContext context, string? file)
    {
        string path = StubLibrary.Require("libcublaslt_stub.c", "libcublasLt.so.12");
        Assert.True(CublasGemm.TryCreate(context, out CublasGemm? gemm, out string reason, file, [path]), reason);
        return gemm;
    }
}
