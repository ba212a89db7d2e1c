using CudaLora.Kernels.Simd;

namespace CudaLora.Engine;

public static partial class TensorOps
{
    /// <summary>
    /// Log-probability of one label per row, without storing the log-softmax. An ignored label gives 0 and no gradient.
    /// </summary>
    /// <param name="logits">(..., vocabulary), F32.</param>
    /// <param name="labels">(...), I32.</param>
    /// <returns>(...), the shape of labels.</returns>
    public static Tensor GatherLogProbs(this Tensor logits, Tensor labels)
    {
        LabelShapes.Check("gather_log_probs", logits, labels);
        return new GatherLogProbsOp(logits, labels).Run(labels.Shape, DType.F32);
    }
}

internal sealed unsafe class GatherLogProbsOp : Op
{
    private readonly Tensor logits;
    private readonly Tensor labels;

    public GatherLogProbsOp(Tensor logits, Tensor labels)
        : base("gather_log_probs", logits)
    {
        (this.logits, this.labels) = (logits, labels);
        Save(logits);
        Save(labels);
    }

    protected override void ForwardCpu(Tensor y) =>
        GatherLogProbsKernel.Forward(
            logits.Pointer<float>(), labels.Pointer<int>(), y.Pointer<float>(), RentScratch<float>(logits.Shape.Rows),
            logits.Shape.Rows, logits.Shape.Columns);

    protected override void BackwardCpu(Tensor y, Tensor dy)
    {
        var g = GradOf(logits, out var add);
        GatherLogProbsKernel.Backward(
            logits.Pointer<float>(), labels.Pointer<int>(), Scratch<float>(), dy.Pointer<float>(), g.Pointer<float>(),
            logits.Shape.Rows, logits.Shape.Columns, add);
    }

    protected override void ForwardCuda(Tensor y) => Kernels.Ops.GatherLogProbs.Forward(
        Stream(y),
        new(
            logits.DeviceAddress, labels.OnDevice<int>(), y.OnDevice<float>(), RentDevice<float>(logits.Shape.Rows),
            logits.Shape.Rows, logits.Shape.Columns),
        logits.DType == DType.BF16);

    protected override void BackwardCuda(Tensor y, Tensor dy)
    {
        var g = GradOf(logits, out var add);
        Kernels.Ops.GatherLogProbs.Backward(
            Stream(dy),
            new(
                logits.DeviceAddress, labels.OnDevice<int>(), ScratchDevice<float>(), dy.OnDevice<float>(),
                g.DeviceAddress, logits.Shape.Rows, logits.Shape.Columns, add ? 1 : 0),
            logits.DType == DType.BF16);
    }
}
