using CudaLora.Kernels.Runtime;

namespace CudaLora.Kernels.Blas;

/// <summary>
/// One shape as cuBLASLt sees it. The library is column-major, so a row-major c = a b is asked for as c^T = b^T a^T:
/// the
/// operands change places and a row pitch becomes a leading dimension.
/// </summary>
internal sealed unsafe class CublasPlan : IDisposable
{
    private const int Proposals = 12, Repeats = 5;

    public LtAlgorithm Algorithm;

    private readonly CublasLt library;
    private readonly nint handle;
    private readonly GemmShape shape;
    private nint desc, layoutA, layoutB, layoutC;

    public CublasPlan(CublasLt library, nint handle, in GemmShape shape)
    {
        (this.library, this.handle, this.shape) = (library, handle, shape);
        nint made = 0;
        Check(library.DescCreate(&made, CublasLt.Compute32F, CublasLt.R32F), "cublasLtMatmulDescCreate");
        desc = made;
        // The library's a is our b and the other way round.
        int transB = shape.TransB ? 1 : 0, transA = shape.TransA ? 1 : 0;
        Check(library.DescSet(desc, CublasLt.DescTransA, &transB, sizeof(int)), "cublasLtMatmulDescSetAttribute");
        Check(library.DescSet(desc, CublasLt.DescTransB, &transA, sizeof(int)), "cublasLtMatmulDescSetAttribute");
        int input = Type(shape.InputType);
        layoutA = Layout(input, shape.TransA, shape.M, shape.K, shape.Lda, shape.StrideA);
        layoutB = Layout(input, shape.TransB, shape.K, shape.N, shape.Ldb, shape.StrideB);
        layoutC = Layout(Type(shape.OutputType), false, shape.M, shape.N, shape.Ldc, shape.StrideC);
    }

    /// <summary>Times the library's proposals on scratch matrices and keeps the fastest.</summary>
    public void Choose(CudaContext context, CudaStream stream, ulong workspace)
    {
        LtHeuristic* found = stackalloc LtHeuristic[Proposals];
        int count = Propose(found);
        Algorithm = found[0].Algorithm;
        if (count == 1) return;
        ulong bytesA = Bytes(shape.InputType, shape.TransA ? shape.K : shape.M, shape.Lda, shape.StrideA);
        ulong bytesB = Bytes(shape.InputType, shape.TransB ? shape.N : shape.K, shape.Ldb, shape.StrideB);
        ulong bytesC = Bytes(shape.OutputType, shape.M, shape.Ldc, shape.StrideC);
        using DeviceBuffer<byte> a = context.Memory.Allocate<byte>((long)bytesA, stream);
        using DeviceBuffer<byte> b = context.Memory.Allocate<byte>((long)bytesB, stream);
        using DeviceBuffer<byte> c = context.Memory.Allocate<byte>((long)bytesC, stream);
        // Patterned bytes: zeros would run cooler and faster than real data does.
        foreach (DeviceBuffer<byte> buffer in new[] { a, b, c })
            context.Check(
                context.Driver.MemsetD8Async(buffer.Pointer.Address, 0x3c, (nuint)buffer.Count, stream.Handle),
                "cuMemsetD8Async");
        using CudaEvent start = new(context), end = new(context);
        float best = float.PositiveInfinity;
        LtAlgorithm chosen = Algorithm;
        for (int i = 0; i < count; i++)
        {
            Algorithm = found[i].Algorithm;
            if (!TryRun(stream.Handle, a, b, c, workspace)) continue;
            for (int repeat = 0; repeat < Repeats; repeat++)
            {
                start.Record(stream);
                TryRun(stream.Handle, a, b, c, workspace);
                end.Record(stream);
                end.Synchronize();
                float time = end.MillisecondsSince(start);
                if (time < best) (best, chosen) = (time, found[i].Algorithm);
            }
        }
        Algorithm = chosen;
    }

    public void Run(nint stream, ulong a, ulong b, ulong c, float alpha, float beta, ulong workspace) =>
        Check(Matmul(stream, a, b, c, alpha, beta, workspace), "cublasLtMatmul");

    public void Dispose()
    {
        _ = library.LayoutDestroy(layoutA);
        _ = library.LayoutDestroy(layoutB);
        _ = library.LayoutDestroy(layoutC);
        _ = library.DescDestroy(desc);
        (desc, layoutA, layoutB, layoutC) = (0, 0, 0, 0);
    }

    private bool TryRun(
        nint stream, DeviceBuffer<byte> a, DeviceBuffer<byte> b, DeviceBuffer<byte> c, ulong workspace) =>
        Matmul(stream, a.Pointer.Address, b.Pointer.Address, c.Pointer.Address, 1, 0, workspace) == 0;

    private int Matmul(nint stream, ulong a, ulong b, ulong c, float alpha, float beta, ulong workspace)
    {
        fixed (LtAlgorithm* algorithm = &Algorithm)
        {
            return library.Matmul(
                handle, desc, &alpha, b, layoutB, a, layoutA, &beta, c, layoutC, c, layoutC, algorithm, workspace,
                CublasGemm.WorkspaceBytes, stream);
        }
    }

    private int Propose(LtHeuristic* found)
    {
        nint preference = 0;
        Check(library.PreferenceCreate(&preference), "cublasLtMatmulPreferenceCreate");
        ulong bytes = CublasGemm.WorkspaceBytes;
        int count = 0;
        try
        {
            Check(
                library.PreferenceSet(preference, CublasLt.PreferenceWorkspace, &bytes, sizeof(ulong)),
                "cublasLtMatmulPreferenceSetAttribute");
            Check(
                library.Heuristic(
                    handle, desc, layoutB, layoutA, layoutC, layoutC, preference, Proposals, found, &count),
                "cublasLtMatmulAlgoGetHeuristic");
        }
        finally
        {
            _ = library.PreferenceDestroy(preference);
        }
        if (count == 0)
            throw new InvalidOperationException($"[cublas] an algorithm must exist, but none does for {shape}");
        return count;
    }

    // rows x cols is op(x) row-major; stored it may be transposed, and column-major it is the other way round again.
    private nint Layout(int type, bool transposed, int rows, int cols, int pitch, long stride)
    {
        (int storedRows, int storedCols) = transposed ? (cols, rows) : (rows, cols);
        nint layout = 0;
        Check(
            library.LayoutCreate(&layout, type, (ulong)storedCols, (ulong)storedRows, pitch),
            "cublasLtMatrixLayoutCreate");
        int batch = shape.Batch;
        if (batch > 1)
        {
            Check(
                library.LayoutSet(layout, CublasLt.LayoutBatchCount, &batch, sizeof(int)),
                "cublasLtMatrixLayoutSetAttribute");
            Check(
                library.LayoutSet(layout, CublasLt.LayoutBatchStride, &stride, sizeof(long)),
                "cublasLtMatrixLayoutSetAttribute");
        }
        return layout;
    }

    private ulong Bytes(GemmType type, int rows, int pitch, long stride) =>
        (type == GemmType.F32 ? 4UL : 2UL) * ((ulong)(shape.Batch - 1) * (ulong)stride + (ulong)rows * (ulong)pitch);

    private static int Type(GemmType type) => type switch
    {
        GemmType.F32 => CublasLt.R32F,
        GemmType.F16 => CublasLt.R16F,
        _ => CublasLt.R16BF,
    };

    private void Check(int status, string call)
    {
        if (status != 0)
            throw new InvalidOperationException($"[{call}] must succeed, but returned cublasStatus {status} ({shape})");
    }
}
