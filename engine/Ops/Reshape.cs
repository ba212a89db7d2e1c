namespace CudaLora.Engine;

public static partial class TensorOps
{
    /// <summary>The same elements under another shape: a view, no copy. The gradient is a view too.</summary>
    public static Tensor Reshape(this Tensor x, Shape shape)
    {
        if (shape.Count != x.Count)
            throw new ArgumentException(
                $"[reshape] element counts must match, but got {x.Count} and {shape.Count} (x {x.Shape}, shape {shape})");
        return new ReshapeOp(x).Run(x.View(shape));
    }
}

internal sealed class ReshapeOp(Tensor x) : Op("reshape", x)
{
    protected override void ForwardCpu(Tensor y)
    {
    }

    protected override void BackwardCpu(Tensor y, Tensor dy) => PassGrad(x, dy);

    protected override void ForwardCuda(Tensor y)
    {
    }

    protected override void BackwardCuda(Tensor y, Tensor dy) => PassGrad(x, dy);
}
