using CudaLora.Kernels.Runtime;
using CudaLora.Kernels.Simd;

namespace CudaLora.Engine;

public static partial class TensorOps
{
    /// <summary>The label that takes a token out of the loss.</summary>
    public const int IgnoredLabel = CrossEntropyKernel.Ignored;

    /// <summary>
    /// Cross-entropy summed over the tokens whose label is not <see cref="IgnoredLabel"/>, times
    /// <paramref name="scale"/>. When a gradient is wanted, it overwrites the logits' own memory, so that the largest
    /// tensor of a step exists once: do not read the logits afterwards.
    /// </summary>
    /// <param name="logits">(..., vocabulary), F32; consumed.</param>
    /// <param name="labels">(...), I32: the token to predict at each place.</param>
    /// <param name="scale">Factor on the sum: 1 / number of labelled tokens for the mean.</param>
    /// <returns>A scalar.</returns>
    public static Tensor CrossEntropy(this Tensor logits, Tensor labels, float scale) =>
        logits.CrossEntropy(labels, Tensor.From([scale], Shape.Scalar, logits.Device));

    /// <summary>As above with the factor in a one-element F32 tensor, so that a captured graph can change it.</summary>
    public static Tensor CrossEntropy(this Tensor logits, Tensor labels, Tensor scale)
    {
        LabelShapes.Check("cross_entropy", logits, labels);
        Tensor.RequireF32("cross_entropy", scale);
        if (scale.Count != 1)
            throw new ArgumentException($"[cross_entropy] scale must have one element, but got {scale.Shape}");
        return new CrossEntropyOp(logits, labels, scale).Run(Shape.Scalar, DType.F32);
    }
}

internal static class LabelShapes
{
    public static void Check(string op, Tensor logits, Tensor labels)
    {
        Tensor.RequireFloat(op, logits);
        if (labels.DType != DType.I32 || logits.Shape.Rank < 1 || labels.Count != logits.Shape.Rows)
            throw new ArgumentException(
                $"[{op}] labels must be I32, one per row of logits, " +
                $"but got {labels.DType} {labels.Shape} (logits {logits.Shape})");
        CheckRange(op, labels, logits.Shape[^1]);
    }

    /// <summary>The same for logits that are made of hidden states.</summary>
    public static void Check(string op, Tensor hidden, int vocabulary, Tensor labels)
    {
        if (labels.DType != DType.I32 || labels.Count != hidden.Shape.Rows)
            throw new ArgumentException(
                $"[{op}] labels must be I32, one per row of hidden, " +
                $"but got {labels.DType} {labels.Shape} (hidden {hidden.Shape})");
        CheckRange(op, labels, vocabulary);
    }

    private static void CheckRange(string op, Tensor labels, int vocabulary)
    {
        // What a device holds is not read back; its kernels take a label outside the vocabulary for an ignored one.
        if (labels.Device.Kind != DeviceKind.Cpu)
            return;
        foreach (var label in labels.Span<int>())
        {
            if (label >= vocabulary || (label < 0 && label != TensorOps.IgnoredLabel))
                throw new ArgumentException(
                    $"[{op}] labels must be below {vocabulary} or {TensorOps.IgnoredLabel}, but got {label}");
        }
    }
}

internal sealed unsafe class CrossEntropyOp : Op
{
    private readonly Tensor logits;
    private readonly Tensor labels;
    private readonly Tensor scale;

    public CrossEntropyOp(Tensor logits, Tensor labels, Tensor scale)
        : base("cross_entropy", logits)
    {
        (this.logits, this.labels, this.scale) = (logits, labels, scale);
        Save(logits);
    }

    protected override void ForwardCpu(Tensor y)
    {
        var rows = logits.Shape.Rows;
        var losses = logits.Device.Rent((long)rows * sizeof(float));
        var each = (float*)losses.Pointer;
        var factor = scale.Item();
        CrossEntropyKernel.Run(
            logits.Pointer<float>(), labels.Pointer<int>(), each, rows, logits.Shape.Columns, factor, Tracking);
        y.Span<float>()[0] = (float)(SumKernel.All(each, rows) * factor);
        losses.Release();
    }

    protected override void BackwardCpu(Tensor y, Tensor dy)
    {
        var seed = dy.Item();
        if (seed != 1)
            VectorOps.Scale(logits.Pointer<float>(), seed, logits.Pointer<float>(), logits.Count);
        PassGrad(logits, logits);
    }

    protected override void ForwardCuda(Tensor y)
    {
        var (rows, bf16) = (logits.Shape.Rows, logits.DType == DType.BF16);
        var losses = logits.Device.Rent((long)rows * sizeof(float));
        var each = new DevicePointer<float>(losses.DeviceAddress);
        Kernels.Ops.CrossEntropy.Rows(
            Stream(y),
            new(
                logits.DeviceAddress, labels.OnDevice<int>(), each, scale.OnDevice<float>(), rows, logits.Shape.Columns,
                1, Tracking ? 1 : 0),
            bf16);
        Kernels.Ops.CrossEntropy.Sum(Stream(y), new(each, y.OnDevice<float>(), scale.OnDevice<float>(), rows, 1));
        losses.Release();
    }

    protected override void BackwardCuda(Tensor y, Tensor dy)
    {
        Kernels.Ops.CrossEntropy.Scale(
            Stream(dy), new(logits.DeviceAddress, dy.OnDevice<float>(), logits.Shape.Rows, logits.Shape.Columns),
            logits.DType == DType.BF16);
        PassGrad(logits, logits);
    }
}
