using CudaLora.Engine;

namespace CudaLora.Tests.Ops;

public class QuantizedLoraLinearTests
{
    [Theory]
    [InlineData(0f)]
    [InlineData(0.4f)]
    public void ValuesAndGradients_AreThoseOfTheDequantisedWeight(float dropout)
    {
        using var scope = TensorScope.Begin();
        var mask = new DropoutMask(dropout, 11, 5);
        using var w = QuantizedLinearTests.Weight(6, 48);
        using var values = w.Dequantize();
        var (x, bias, a, b) = Inputs();
        var seed = GradientCheck.Leaf(9, Shape.Of(2, 3, 6), requiresGrad: false);
        var y = x.LoraLinear(w, bias, a, b, 0.5f, mask);
        y.Backward(seed);
        float[][] gradients = [.. new[] { x, bias, a, b }.Select(t => t.Grad!.ToArray())];
        foreach (var t in new[] { x, bias, a, b })
            t.ZeroGrad();
        var expected = x.LoraLinear(values, bias, a, b, 0.5f, mask);
        expected.Backward(seed);
        QuantizedLinearTests.Near(expected.ToArray(), y.ToArray());
        foreach (var (t, gradient) in new[] { x, bias, a, b }.Zip(gradients))
            QuantizedLinearTests.Near(t.Grad!.ToArray(), gradient);
    }

    [Fact]
    public void Gradient_MatchesDifferences()
    {
        using var scope = TensorScope.Begin();
        using var w = QuantizedLinearTests.Weight(6, 48);
        var (x, bias, a, b) = Inputs();
        GradientCheck.Run(() => x.LoraLinear(w, bias, a, b, 0.5f, new DropoutMask(0.3f, 3, 4)), x, bias, a, b);
    }

    // x is kept for dA alone: with A frozen, it is not.
    [Theory]
    [InlineData(true, 3)]
    [InlineData(false, 2)]
    public void OnlyWhatTheAdapterNeeds_IsKept(bool trainsA, int kept)
    {
        using var scope = TensorScope.Begin();
        using var w = QuantizedLinearTests.Weight(6, 48);
        var (x, _, a, b) = Inputs();
        a.RequiresGrad = trainsA;
        Assert.Equal(kept, x.LoraLinear(w, null, a, b, 0.5f).Producer!.SavedCount);
    }

    [Fact]
    public void WrongShapes_AreNamed()
    {
        using var w = QuantizedLinearTests.Weight(6, 48);
        OpCheck.Refused(
            "[lora_linear] A must be (r, in) and B (out, r), but got A (2, 40), B (6, 2), weight (6, 48)",
            () => OpCheck.Leaf(1, 3, 48).LoraLinear(w, null, OpCheck.Leaf(1, 2, 40), OpCheck.Leaf(1, 6, 2), 1));
    }

    private static (Tensor X, Tensor Bias, Tensor A, Tensor B) Inputs() =>
        (OpCheck.Leaf(1, 2, 3, 48), OpCheck.Leaf(3, 6), OpCheck.Leaf(4, 2, 48), OpCheck.Leaf(5, 6, 2));
}
