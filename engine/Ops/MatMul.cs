using CudaLora.Kernels.Blas;
using CudaLora.Kernels.Ops;
using CudaLora.Kernels.Simd;

namespace CudaLora.Engine;

public static partial class TensorOps
{
    /// <summary>
    /// Batched matrix product op(a) op(b). Leading dimensions are the batch; one operand may be a plain matrix, which
    /// is then used for the whole batch. On CUDA a BF16 a makes the product and its result BF16.
    /// </summary>
    /// <param name="a">(..., m, k), or (..., k, m) with <paramref name="transposeA"/>; F32 or BF16.</param>
    /// <param name="b">(..., k, n), or (..., n, k) with <paramref name="transposeB"/>; F32 or BF16.</param>
    /// <param name="transposeA">Use a's matrices transposed.</param>
    /// <param name="transposeB">Use b's matrices transposed.</param>
    /// <returns>(..., m, n).</returns>
    public static Tensor MatMul(this Tensor a, Tensor b, bool transposeA = false, bool transposeB = false)
    {
        Tensor.RequireFloat("matmul", a);
        Tensor.RequireFloat("matmul", b);
        if (a.Shape.Rank < 2 || b.Shape.Rank < 2)
            throw new ArgumentException($"[matmul] operands must be matrices, but got a {a.Shape}, b {b.Shape}");
        var (m, k) = transposeA ? (a.Shape[^1], a.Shape[^2]) : (a.Shape[^2], a.Shape[^1]);
        var (k2, n) = transposeB ? (b.Shape[^1], b.Shape[^2]) : (b.Shape[^2], b.Shape[^1]);
        if (k != k2)
            throw new ArgumentException(
                $"[matmul] inner dimensions must match, but got {k} and {k2} (a {a.Shape}, b {b.Shape})");
        var batchOf = a.Shape.Rank >= b.Shape.Rank ? a : b;
        var other = batchOf == a ? b : a;
        if (other.Shape.Rank > 2 && !other.Shape.Dims[..^2].SequenceEqual(batchOf.Shape.Dims[..^2]))
            throw new ArgumentException(
                $"[matmul] batch dimensions must match or be absent, but got a {a.Shape}, b {b.Shape}");
        return new MatMulOp(a, b, transposeA, transposeB, m, n, k).Run(batchOf.Shape.With(^2, m).With(^1, n));
    }
}

internal sealed unsafe class MatMulOp : Op
{
    private readonly Tensor a;
    private readonly Tensor b;
    private readonly bool ta;
    private readonly bool tb;
    private readonly int m;
    private readonly int n;
    private readonly int k;

    public MatMulOp(Tensor a, Tensor b, bool ta, bool tb, int m, int n, int k)
        : base("matmul", a, b)
    {
        (this.a, this.b, this.ta, this.tb) = (a, b, ta, tb);
        (this.m, this.n, this.k) = (m, n, k);
        if (NeedsGrad(b))
            Save(a);
        if (NeedsGrad(a))
            Save(b);
    }

    protected override void ForwardCpu(Tensor y) =>
        Product(ta, tb, m, n, k, a, b, y.Pointer<float>(), Stride(y), Batch(y), accumulate: false);

    protected override void BackwardCpu(Tensor y, Tensor dy)
    {
        if (NeedsGrad(a))
        {
            var g = GradOf(a, out var add);
            if (ta)
                Gradient(tb, true, k, m, n, b, dy, g, add); // dA = op(B) dYᵀ (k, m)
            else
                Gradient(false, !tb, m, k, n, dy, b, g, add); // dA = dY op(B)ᵀ (m, k)
        }
        if (NeedsGrad(b))
        {
            var g = GradOf(b, out var add);
            if (tb)
                Gradient(true, ta, n, k, m, dy, a, g, add); // dB = dYᵀ op(A) (n, k)
            else
                Gradient(!ta, false, k, n, m, a, dy, g, add); // dB = op(A)ᵀ dY (k, n)
        }
    }

    protected override void ForwardCuda(Tensor y)
    {
        var (left, right) = (CudaProduct.As(y.DType, a), CudaProduct.As(y.DType, b));
        ProductCuda(ta, tb, m, n, k, a, left.Address, b, right.Address, y.DType, y, false);
        left.Release();
        right.Release();
    }

    protected override void BackwardCuda(Tensor y, Tensor dy)
    {
        if (NeedsGrad(a))
        {
            var g = GradOf(a, out var add);
            var other = CudaProduct.As(dy.DType, b);
            if (ta)
                ProductCuda(tb, true, k, m, n, b, other.Address, dy, dy.DeviceAddress, dy.DType, g, add);
            else
                ProductCuda(false, !tb, m, k, n, dy, dy.DeviceAddress, b, other.Address, dy.DType, g, add);
            other.Release();
        }
        if (NeedsGrad(b))
        {
            var g = GradOf(b, out var add);
            var other = CudaProduct.As(dy.DType, a);
            if (tb)
                ProductCuda(true, ta, n, k, m, dy, dy.DeviceAddress, a, other.Address, dy.DType, g, add);
            else
                ProductCuda(!ta, false, k, n, m, a, other.Address, dy, dy.DeviceAddress, dy.DType, g, add);
            other.Release();
        }
    }

    // A batch of products in one call; a target without a batch gets their sum, taken in order in F32.
    private static void ProductCuda(
        bool tLeft, bool tRight, int rows, int cols, int inner, Tensor left, ulong leftAt, Tensor right, ulong rightAt,
        DType dtype, Tensor to, bool add)
    {
        if (to.Count == 0)
            return;
        var device = CudaProduct.Of(to);
        var batch = Math.Max(Batch(left), Batch(right));
        if (inner == 0 || batch == 0)
        {
            if (!add)
                to.Clear();
            return;
        }
        var sums = Batch(to) != batch;
        // BF16 sums of a batch would round once per matrix, and an F32 product has no BF16 result.
        var narrow = to.DType == DType.BF16 && (sums || dtype == DType.F32);
        var copy = narrow ? device.Rent(to.Count * sizeof(float)) : null;
        var at = copy?.DeviceAddress ?? to.DeviceAddress;
        var shape = GemmShape.Dense(
            rows, cols, inner, tLeft, tRight, CudaProduct.TypeOf(dtype),
            narrow ? GemmType.F32 : CudaProduct.TypeOf(to.DType));
        var adds = add && !narrow;
        if (!sums)
        {
            shape = shape with
            {
                Batch = batch,
                StrideA = Stride(left),
                StrideB = Stride(right),
                StrideC = (long)rows * cols,
            };
            device.Gemm.Run(device.Stream, shape, leftAt, rightAt, at, 1, adds ? 1 : 0);
        }
        else
        {
            var size = (ulong)dtype.Size();
            for (var i = 0; i < batch; i++)
            {
                device.Gemm.Run(
                    device.Stream, shape, leftAt + ((ulong)(i * Stride(left)) * size),
                    rightAt + ((ulong)(i * Stride(right)) * size), at, 1, adds || i > 0 ? 1 : 0);
            }
        }
        if (copy is null)
            return;
        Cast.Run(device.Stream, at, CastType.F32, to.DeviceAddress, CastType.BF16, to.Count, accumulate: add);
        copy.Release();
    }

    // A gradient of an operand shared by the batch is the sum over the batch, taken in order.
    private static void Gradient(
        bool tLeft, bool tRight, int rows, int cols, int inner, Tensor left, Tensor right, Tensor g, bool add)
    {
        var batch = Math.Max(Batch(left), Batch(right));
        if (Batch(g) == batch)
        {
            Product(tLeft, tRight, rows, cols, inner, left, right, g.Pointer<float>(), Stride(g), batch, add);
            return;
        }
        for (var i = 0; i < batch; i++)
        {
            Gemm.Run(
                tLeft, tRight, rows, cols, inner, 1, Matrix(left, i), left.Shape[^1], Matrix(right, i), right.Shape[^1],
                add || i > 0 ? 1 : 0, g.Pointer<float>(), cols);
        }
    }

    private static void Product(
        bool tLeft, bool tRight, int rows, int cols, int inner, Tensor left, Tensor right, float* to, long stride,
        int batch, bool accumulate) =>
        Gemm.RunBatched(
            batch, tLeft, tRight, rows, cols, inner, 1,
            left.Pointer<float>(), left.Shape[^1], Stride(left), right.Pointer<float>(), right.Shape[^1], Stride(right),
            accumulate ? 1 : 0, to, cols, stride);

    private static float* Matrix(Tensor t, int index) => t.Pointer<float>() + (index * Stride(t));

    private static int Batch(Tensor t)
    {
        var batch = 1;
        for (var i = 0; i < t.Shape.Rank - 2; i++)
            batch *= t.Shape[i];
        return batch;
    }

    private static long Stride(Tensor t) => t.Shape.Rank == 2 ? 0 : (long)t.Shape[^1] * t.Shape[^2];
}
