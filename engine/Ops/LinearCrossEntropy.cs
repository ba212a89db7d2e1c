using CudaLora.Kernels.Blas;
using CudaLora.Kernels.Runtime;
using CudaLora.Kernels.Simd;

namespace CudaLora.Engine;

public static partial class TensorOps
{
    /// <summary>
    /// <see cref="CrossEntropy(Tensor, Tensor, Tensor)"/> of hidden states through a frozen output layer. The logits
    /// never exist whole: a chunk of tokens at a time is multiplied out, and becomes its own gradient, and then that of
    /// its hidden states (as in Liger Kernel, Hsu et al. 2024, arXiv 2410.10989).
    /// </summary>
    /// <param name="hidden">(..., n), F32, on CUDA also BF16.</param>
    /// <param name="weight">(vocabulary, n), frozen.</param>
    /// <param name="labels">(...), I32: the token to predict at each place, or <see cref="IgnoredLabel"/>.</param>
    /// <param name="scale">One F32 element: factor on the sum.</param>
    /// <returns>A scalar.</returns>
    public static Tensor LinearCrossEntropy(this Tensor hidden, Tensor weight, Tensor labels, Tensor scale) =>
        hidden.LinearCrossEntropy(weight, labels, scale, LinearCrossEntropyOp.ChunkRows(hidden, weight));

    internal static Tensor LinearCrossEntropy(
        this Tensor hidden, Tensor weight, Tensor labels, Tensor scale, int chunkRows)
    {
        LinearOp.Check("linear_cross_entropy", hidden, weight, null);
        LabelShapes.Check("linear_cross_entropy", hidden, weight.Shape[0], labels);
        Tensor.RequireF32("linear_cross_entropy", scale);
        if (scale.Count != 1)
            throw new ArgumentException($"[linear_cross_entropy] scale must have one element, but got {scale.Shape}");
        if (weight.RequiresGrad && GradMode.Enabled)
            throw new ArgumentException($"[linear_cross_entropy] weight must be frozen, but {weight} wants a gradient");
        return new LinearCrossEntropyOp(hidden, weight, labels, scale, chunkRows).Run(Shape.Scalar, DType.F32);
    }
}

internal sealed unsafe class LinearCrossEntropyOp : Op
{
    // Enough rows for the products to run at full speed, and to pay for reading the weight once more.
    private const int FewestRows = 1024;
    private const int RowStep = 128;

    private readonly Tensor hidden; // (L, C)
    private readonly Tensor weight; // (V, C)
    private readonly Tensor labels; // (L)
    private readonly Tensor scale;
    private readonly int chunkRows;
    private Tensor? gradient; // (L, C)

    public LinearCrossEntropyOp(Tensor hidden, Tensor weight, Tensor labels, Tensor scale, int chunkRows)
        : base("linear_cross_entropy", hidden, weight, labels, scale) =>
        (this.hidden, this.weight, this.labels, this.scale, this.chunkRows) =
            (hidden, weight, labels, scale, chunkRows);

    private int Vocabulary => weight.Shape[0];

    private int Columns => weight.Shape[1];

    /// <summary>Tokens whose logits exist at a time: as large as the hidden states, but for the least number.</summary>
    public static int ChunkRows(Tensor hidden, Tensor weight)
    {
        var alike = hidden.Count / Math.Max(1, weight.Shape[0]);
        return (int)Math.Max(FewestRows, (alike + RowStep - 1) / RowStep * RowStep);
    }

    protected override void ForwardCpu(Tensor y)
    {
        var (rows, vocabulary, cols) = (hidden.Shape.Rows, Vocabulary, Columns);
        var logits = hidden.Device.Rent((long)Math.Min(rows, chunkRows) * vocabulary * sizeof(float));
        var losses = hidden.Device.Rent((long)rows * sizeof(float));
        float* scores = (float*)logits.Pointer, each = (float*)losses.Pointer, w = weight.Pointer<float>();
        var factor = scale.Item();
        var dx = Tracking ? KeepGradient().Pointer<float>() : null;
        for (var at = 0; at < rows; at += chunkRows)
        {
            var m = Math.Min(chunkRows, rows - at);
            var x = hidden.Pointer<float>() + ((long)at * cols);
            Gemm.Run(false, true, m, vocabulary, cols, 1, x, cols, w, cols, 0, scores, vocabulary);
            CrossEntropyKernel.Run(
                scores, labels.Pointer<int>() + at, each + at, m, vocabulary, factor, Tracking);
            if (dx != null)
                Gemm.Run(
                    false, false, m, cols, vocabulary, 1, scores, vocabulary, w, cols, 0, dx + ((long)at * cols), cols);
        }
        y.Span<float>()[0] = (float)(SumKernel.All(each, rows) * factor);
        losses.Release();
        logits.Release();
    }

    protected override void BackwardCpu(Tensor y, Tensor dy)
    {
        var seed = dy.Item();
        if (seed != 1)
            VectorOps.Scale(gradient!.Pointer<float>(), seed, gradient.Pointer<float>(), gradient.Count);
        PassGrad(hidden, gradient!);
    }

    protected override void ForwardCuda(Tensor y)
    {
        var device = CudaProduct.Of(y);
        var (rows, vocabulary, cols, bf16) = (hidden.Shape.Rows, Vocabulary, Columns, hidden.DType == DType.BF16);
        var (type, size) = (CudaProduct.TypeOf(hidden.DType), (ulong)hidden.DType.Size());
        var logits = device.Rent((long)Math.Min(rows, chunkRows) * vocabulary * (long)size);
        var losses = device.Rent((long)rows * sizeof(float));
        var w = CudaProduct.Rows(hidden.DType, weight);
        var (scores, each) = (logits.DeviceAddress, new DevicePointer<float>(losses.DeviceAddress));
        var dx = Tracking ? KeepGradient().DeviceAddress : 0;
        for (var at = 0; at < rows; at += chunkRows)
        {
            var m = Math.Min(chunkRows, rows - at);
            var skip = (ulong)at * (ulong)cols * size;
            device.Gemm.Run(
                device.Stream, GemmShape.Dense(m, vocabulary, cols, false, true, type, type) with { Ldb = w.Pitch },
                hidden.DeviceAddress + skip, w.Address, scores, 1, 0);
            Kernels.Ops.CrossEntropy.Rows(
                device.Stream,
                new(
                    scores, labels.OnDevice<int>() + at, each + at, scale.OnDevice<float>(), m, vocabulary, 1,
                    Tracking ? 1 : 0),
                bf16);
            if (Tracking)
                device.Gemm.Run(
                    device.Stream,
                    GemmShape.Dense(m, cols, vocabulary, false, false, type, type) with { Ldb = w.Pitch }, scores,
                    w.Address, dx + skip, 1, 0);
        }
        Kernels.Ops.CrossEntropy.Sum(device.Stream, new(each, y.OnDevice<float>(), scale.OnDevice<float>(), rows, 1));
        w.Release();
        losses.Release();
        logits.Release();
    }

    protected override void BackwardCuda(Tensor y, Tensor dy)
    {
        Kernels.Ops.CrossEntropy.Scale(
            Stream(dy), new(gradient!.DeviceAddress, dy.OnDevice<float>(), hidden.Shape.Rows, Columns),
            gradient.DType == DType.BF16);
        PassGrad(hidden, gradient);
    }

    // Of the node, not of a scope: backward takes it over, or the node's end releases it.
    private Tensor KeepGradient()
    {
        gradient = Tensor.Unscoped(hidden.Shape, hidden.DType, hidden.Device);
        Save(gradient);
        gradient.Dispose();
        return gradient;
    }
}
