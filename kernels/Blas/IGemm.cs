using CudaLora.Kernels.Runtime;

namespace CudaLora.Kernels.Blas;

/// <summary>Element types of a matrix product on the device.</summary>
public enum GemmType
{
    /// <summary>32-bit floats.</summary>
    F32,

    /// <summary>16-bit IEEE floats.</summary>
    F16,

    /// <summary>bfloat16.</summary>
    BF16,
}

/// <summary>
/// What a matrix product looks like, addresses and factors apart: c (m, n) = alpha op(a) (m, k) op(b) (k, n) + beta c,
/// all
/// row-major. op transposes where its flag is set, so that a is stored (m, k) or (k, m) and b (k, n) or (n, k).
/// </summary>
/// <param name="M">Rows of c.</param>
/// <param name="N">Columns of c.</param>
/// <param name="K">Terms of each sum.</param>
/// <param name="TransA">a is stored (k, m).</param>
/// <param name="TransB">b is stored (n, k).</param>
/// <param name="InputType">Type of a and b; sums are always f32.</param>
/// <param name="OutputType">Type of c: F32, or the input type.</param>
/// <param name="Lda">Elements from row to row of a as stored.</param>
/// <param name="Ldb">Elements from row to row of b as stored.</param>
/// <param name="Ldc">Elements from row to row of c.</param>
public readonly record struct GemmShape(
    int M, int N, int K, bool TransA, bool TransB, GemmType InputType, GemmType OutputType, int Lda, int Ldb, int Ldc)
{
    /// <summary>Matrices of a strided batch.</summary>
    public int Batch { get; init; } = 1;

    /// <summary>Elements from one a of the batch to the next; 0 shares it.</summary>
    public long StrideA { get; init; }

    /// <summary>Elements from one b of the batch to the next; 0 shares it.</summary>
    public long StrideB { get; init; }

    /// <summary>Elements from one c of the batch to the next.</summary>
    public long StrideC { get; init; }

    /// <summary>Matrices without gaps between rows.</summary>
    public static GemmShape Dense(
        int m, int n, int k, bool transA, bool transB, GemmType inputType, GemmType outputType) =>
        new(m, n, k, transA, transB, inputType, outputType, transA ? m : k, transB ? k : n, n);

    /// <inheritdoc/>
    public override string ToString() =>
        $"({M}, {N}, {K}){(TransA ? " a^T" : "")}{(TransB ? " b^T" : "")} {InputType} to {OutputType}, rows "
        + $"{Lda} {Ldb} {Ldc}" + (Batch == 1 ? "" : $", batch {Batch} strides {StrideA} {StrideB} {StrideC}");
}

/// <summary>Matrix products on a device. Same inputs, same bits, on one device and one library version.</summary>
public interface IGemm : IDisposable
{
    /// <summary>What computes, for messages.</summary>
    string Name { get; }

    /// <summary>Queues c = alpha op(a) op(b) + beta c. With beta 0 what c holds is not read.</summary>
    /// <exception cref="ArgumentException">
    /// The shape is inconsistent, or one this implementation does not serve.
    /// </exception>
    void Run(CudaStream stream, in GemmShape shape, ulong a, ulong b, ulong c, float alpha = 1, float beta = 0);
}

/// <summary>Checks every implementation makes.</summary>
internal static class GemmChecks
{
    public static void Check(in GemmShape s)
    {
        int widthA = s.TransA ? s.M : s.K, widthB = s.TransB ? s.K : s.N;
        if (s.M < 1 || s.N < 1 || s.K < 1 || s.Batch < 1)
            throw new ArgumentException($"[gemm] every extent must be at least 1, but got {s}");
        if (s.Lda < widthA || s.Ldb < widthB || s.Ldc < s.N)
            throw new ArgumentException($"[gemm] rows must hold {widthA}, {widthB} and {s.N} elements, but got {s}");
        if (s.OutputType != GemmType.F32 && s.OutputType != s.InputType)
            throw new ArgumentException($"[gemm] the output must be F32 or of the input's type, but got {s}");
    }
}
