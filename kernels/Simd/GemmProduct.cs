namespace CudaLora.Kernels.Simd;

/// <summary>C (M, N) = Alpha * op(A) (M, K) op(B) (K, N) + Beta * C, all row-major, strides in elements.</summary>
internal unsafe struct GemmProduct<TSource>
    where TSource : struct, IPanelSource<TSource>
{
    public bool TransA;
    public bool TransB;
    public int M;
    public int N;
    public int K;
    public float Alpha;
    public float Beta;
    public float* A;
    public nint Lda;
    public TSource B;
    public float* C;
    public nint Ldc;

    public readonly long Flops => 2L * M * N * K;

    /// <summary>The product with the three matrices this many elements further on.</summary>
    public readonly GemmProduct<TSource> Offset(nint a, nint b, nint c)
    {
        GemmProduct<TSource> moved = this;
        moved.A += a;
        moved.B = B.Offset(b);
        moved.C += c;
        return moved;
    }

    public readonly GemmProduct<TOther> WithSource<TOther>(TOther source)
        where TOther : struct, IPanelSource<TOther> => new()
        {
            TransA = TransA,
            TransB = TransB,
            M = M,
            N = N,
            K = K,
            Alpha = Alpha,
            Beta = Beta,
            A = A,
            Lda = Lda,
            B = source,
            C = C,
            Ldc = Ldc,
        };
}
