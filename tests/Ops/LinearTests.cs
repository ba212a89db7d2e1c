using CudaLora.Engine;

namespace CudaLora.Tests.Ops;

public class LinearTests
{
    [Fact]
    public void Output_MatchesDoublePrecision()
    {
        using var scope = TensorScope.Begin();
        var x = GradientCheck.Leaf(1, Shape.Of(2, 3, 5));
        var w = GradientCheck.Leaf(2, Shape.Of(4, 5));
        var bias = GradientCheck.Leaf(3, Shape.Of(4));

        var y = x.Linear(w, bias);

        Assert.Equal(Shape.Of(2, 3, 4), y.Shape);
        for (var row = 0; row < 6; row++)
        {
            for (var o = 0; o < 4; o++)
            {
                double sum = bias.Span<float>()[o];
                for (var i = 0; i < 5; i++)
                    sum += (double)x.Span<float>()[(row * 5) + i] * w.Span<float>()[(o * 5) + i];
                Assert.Equal(sum, y.Span<float>()[(row * 4) + o], 1e-5);
            }
        }
    }

    [Fact]
    public void Gradient_MatchesDifferences()
    {
        using var scope = TensorScope.Begin();
        var x = GradientCheck.Leaf(1, Shape.Of(2, 3, 5), name: "x");
        var w = GradientCheck.Leaf(2, Shape.Of(4, 5), name: "w");
        var bias = GradientCheck.Leaf(3, Shape.Of(4), name: "bias");
        GradientCheck.Run(() => x.Linear(w, bias), x, w, bias);
    }

    [Fact]
    public void FrozenWeight_GetsNoGradientAndKeepsNoInput()
    {
        using var scope = TensorScope.Begin();
        var x = GradientCheck.Leaf(1, Shape.Of(3, 5));
        var w = GradientCheck.Leaf(2, Shape.Of(4, 5), requiresGrad: false);

        var y = x.Linear(w);

        // One saved tensor: the weight, for dX. The input would only serve dW.
        Assert.Equal(1, y.Producer!.SavedCount);
        y.Backward(Tensor.Zeros(y.Shape));
        Assert.Null(w.Grad);
        Assert.NotNull(x.Grad);
    }

    [Fact]
    public void WrongShapes_AreNamed()
    {
        using var scope = TensorScope.Begin();
        var x = Tensor.Zeros(Shape.Of(2, 3));
        var error = Assert.Throws<ArgumentException>(() => x.Linear(Tensor.Zeros(Shape.Of(4, 5))));
        Assert.Equal(
            "[linear] last dimension of x must equal the weight's second, but got x (2, 3), weight (4, 5)",
            error.Message);
        error = Assert.Throws<ArgumentException>(
            () => x.Linear(Tensor.Zeros(Shape.Of(4, 3)), Tensor.Zeros(Shape.Of(3))));
        Assert.Equal("[linear] bias must hold one value per output, but got bias (3), weight (4, 3)", error.Message);
    }
}
