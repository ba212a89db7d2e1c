using CudaLora.Engine;

namespace CudaLora.Tests.Engine;

public class AutogradTests
{
    [Fact]
    public void Reshape_PassesTheGradientThrough()
    {
        using var scope = TensorScope.Begin();
        var x = Tensor.From([1f, 2, 3, 4, 5, 6], Shape.Of(2, 3));
        x.RequiresGrad = true;
        var seed = Tensor.From([6f, 5, 4, 3, 2, 1], Shape.Of(6));

        x.Reshape(Shape.Of(6)).Backward(seed);

        Assert.Equal([6f, 5, 4, 3, 2, 1], x.Grad!.ToArray());
        Assert.Equal(Shape.Of(2, 3), x.Grad.Shape);
    }

    [Fact]
    public void Backward_AddsToALeafUntilItIsZeroed()
    {
        using var scope = TensorScope.Begin();
        var x = Tensor.From([1f, 2], Shape.Of(2));
        x.RequiresGrad = true;
        var seed = Tensor.From([10f, 20], Shape.Of(2, 1));

        x.Reshape(Shape.Of(2, 1)).Backward(seed);
        x.Reshape(Shape.Of(2, 1)).Backward(seed);
        Assert.Equal([20f, 40], x.Grad!.ToArray());

        x.ZeroGrad();
        Assert.Equal([0f, 0], x.Grad!.ToArray());
        x.ZeroGrad();
        x.Reshape(Shape.Of(2, 1)).Backward(seed);
        Assert.Equal([10f, 20], x.Grad!.ToArray());
    }

    [Fact]
    public void NoGrad_RecordsNothing()
    {
        using var scope = TensorScope.Begin();
        var x = Tensor.From([1f], Shape.Of(1));
        x.RequiresGrad = true;
        using (GradMode.NoGrad())
        {
            var y = x.Reshape(Shape.Scalar);
            Assert.False(y.RequiresGrad);
            Assert.Throws<InvalidOperationException>(() => y.Backward());
        }
        Assert.True(x.Reshape(Shape.Scalar).RequiresGrad);
    }

    [Fact]
    public void Checkpoint_GivesTheSameGradient()
    {
        using var scope = TensorScope.Begin();
        var x = Tensor.From([1f, 2], Shape.Of(2));
        x.RequiresGrad = true;

        TensorOps.Checkpoint(x, t => t.Reshape(Shape.Of(1, 2))).Backward(Tensor.From([3f, 4], Shape.Of(1, 2)));

        Assert.Equal([3f, 4], x.Grad!.ToArray());
    }
}
