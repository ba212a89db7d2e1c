using CudaLora.Engine;

namespace CudaLora.Tests.Ops;

public class QuantizedLinearTests
{
    [Fact]
    public void ValuesAndGradients_AreThoseOfTheDequantisedWeight()
    {
        using var scope = TensorScope.Begin();
        var (x, w, bias) = (OpCheck.Leaf(1, 2, 3, 48), Weight(6, 48), OpCheck.Leaf(3, 6));
        using (w)
        {
            using var values = w.Dequantize();
            var seed = GradientCheck.Leaf(9, Shape.Of(2, 3, 6), requiresGrad: false);
            var y = x.QuantizedLinear(w, bias);
            y.Backward(seed);
            var (dx, db) = (x.Grad!.ToArray(), bias.Grad!.ToArray());
            x.ZeroGrad();
            bias.ZeroGrad();
            var expected = x.Linear(values, bias);
            expected.Backward(seed);
            // The same products of the same values, summed in another order.
            Near(expected.ToArray(), y.ToArray());
            Near(x.Grad!.ToArray(), dx);
            Assert.Equal(bias.Grad!.ToArray(), db);
        }
    }

    [Fact]
    public void Gradient_MatchesDifferences()
    {
        using var scope = TensorScope.Begin();
        using var w = Weight(6, 48);
        var (x, bias) = (OpCheck.Leaf(1, 3, 48), OpCheck.Leaf(3, 6));
        GradientCheck.Run(() => x.QuantizedLinear(w, bias), x, bias);
    }

    [Fact]
    public void FrozenInputsGetNoWork()
    {
        using var scope = TensorScope.Begin();
        using var w = Weight(6, 48);
        var (x, bias) = (OpCheck.Leaf(1, 3, 48), OpCheck.Leaf(3, 6));
        OpCheck.FrozenInputsGetNoWork(() => x.QuantizedLinear(w, bias), x, bias);
    }

    [Fact]
    public void SecondUseAccumulates()
    {
        using var scope = TensorScope.Begin();
        using var w = Weight(6, 48);
        var x = OpCheck.Leaf(1, 3, 48);
        OpCheck.SecondUseAccumulates(() => x.QuantizedLinear(w), x);
    }

    // An identity is quantised without error, and most of its blocks hold nothing but zeros.
    [Fact]
    public void Identity_GivesBackItsInput()
    {
        using var scope = TensorScope.Begin();
        using var eye = Tensor.Owned(Shape.Of(256, 256));
        eye.Clear();
        for (var i = 0; i < 256; i++)
            eye.Span<float>()[257 * i] = 1;
        using var w = QuantizedTensor.Quantize(eye, new QuantizationOptions(), "eye");
        foreach (var rows in new[] { 1, 3, 20, 120 })
        {
            var x = OpCheck.Leaf(1, rows, 256);
            Assert.Equal(x.ToArray(), x.QuantizedLinear(w).ToArray());
        }
    }

    [Fact]
    public void WrongShapes_AreNamed()
    {
        using var w = Weight(6, 48);
        OpCheck.Refused(
            "[quantized_linear] last dimension of x must equal the weight's second, but got x (3, 47), weight (6, 48)",
            () => OpCheck.Leaf(1, 3, 47).QuantizedLinear(w));
        OpCheck.Refused(
            "[quantized_linear] bias must hold one value per output, but got bias (5), weight (6, 48)",
            () => OpCheck.Leaf(1, 3, 48).QuantizedLinear(w, OpCheck.Leaf(1, 5)));
    }

    internal static QuantizedTensor Weight(int outputs, int inputs)
    {
        using var values = Tensor.Owned(Shape.Of(outputs, inputs));
        values.CopyFrom(GradientCheck.Values(2, values.Shape));
        return QuantizedTensor.Quantize(values, new QuantizationOptions { DoubleQuant = true, BlockSize = 32 }, "w");
    }

    internal static void Near(float[] expected, float[] actual, float tolerance = 2e-5f)
    {
        Assert.Equal(expected.Length, actual.Length);
        for (var i = 0; i < expected.Length; i++)
            Assert.Equal(expected[i], actual[i], tolerance);
    }
}
