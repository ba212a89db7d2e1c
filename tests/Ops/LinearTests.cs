using CudaLora.Engine;

namespace CudaLora.Tests.Ops;

public class LinearTests
{
    [Theory, OnDevices]
    public void Output_MatchesDoublePrecision(string device)
    {
        using var scope = OpCheck.On(device);
        var x = GradientCheck.Leaf(1, Shape.Of(2, 3, 5));
        var w = GradientCheck.Leaf(2, Shape.Of(4, 5));
        var bias = GradientCheck.Leaf(3, Shape.Of(4));

        var y = x.Linear(w, bias);

        var (xv, wv, bv) = (x.ToArray(), w.ToArray(), bias.ToArray());
        OpCheck.Values(y, Shape.Of(2, 3, 4), i => bv[i % 4] + Dot(xv, i / 4 * 5, wv, i % 4 * 5, 5));
    }

    [Theory]
    [InlineData(7, 20, 9, true, true)]
    [InlineData(33, 64, 40, true, false)]
    [InlineData(5, 16, 24, false, true)]
    public void Bf16_RoundsOnce(int rows, int inputs, int outputs, bool wideWeight, bool withBias)
    {
        foreach (var device in TestDevice.Names.Where(name => name != "cpu"))
        {
            using var scope = OpCheck.On(device);
            var x = OpCheck.Bf16Leaf(1, rows, inputs);
            var w = wideWeight ? OpCheck.Leaf(2, outputs, inputs) : OpCheck.Bf16Leaf(2, outputs, inputs);
            var bias = withBias ? OpCheck.Leaf(3, outputs) : null;
            var dy = OpCheck.Bf16Leaf(4, rows, outputs);

            var y = x.Linear(w, bias);
            y.Backward(dy);

            // The product rounds an F32 weight to BF16.
            var (xv, dv) = (x.ToArray(), dy.ToArray());
            var wv = Array.ConvertAll(w.ToArray(), OpCheck.ToBf16);
            var bv = bias?.ToArray();
            Assert.Equal(DType.BF16, y.DType);
            Close(y, i => (bv?[i % outputs] ?? 0) + Dot(xv, i / outputs * inputs, wv, i % outputs * inputs, inputs));
            Close(x.Grad!, i => Enumerable.Range(0, outputs).Sum(
                o => (double)dv[(i / inputs * outputs) + o] * wv[(o * inputs) + (i % inputs)]));
            Close(w.Grad!, i => Enumerable.Range(0, rows).Sum(
                r => (double)dv[(r * outputs) + (i / inputs)] * xv[(r * inputs) + (i % inputs)]));
            Assert.Equal(w.DType, w.Grad!.DType);
            if (bias is not null)
                Close(bias.Grad!, i => Enumerable.Range(0, rows).Sum(r => (double)dv[(r * outputs) + i]));
        }
    }

    [Theory, OnDevices]
    public void FewTokensWithoutGradients_GiveTheSame(string device)
    {
        if (device == "cpu")
            return;
        using var scope = OpCheck.On(device);
        var x = OpCheck.Bf16Leaf(1, 3, 24);
        var w = OpCheck.Bf16Leaf(2, 10, 24);
        var bias = OpCheck.Leaf(3, 10);
        var expected = x.Linear(w, bias).ToArray();
        using var mode = GradMode.NoGrad();
        var few = x.Linear(w, bias);
        // Rounded to BF16 once there, twice here: the bias is rounded before the sum.
        Close(few, i => expected[i], 1.0 / 64);
    }

    private static void Close(Tensor actual, Func<int, double> expected, double tolerance = 1.0 / 100)
    {
        var values = actual.ToArray();
        for (var i = 0; i < values.Length; i++)
            Assert.Equal(expected(i), values[i], tolerance * (1 + Math.Abs(expected(i))));
    }

    private static double Dot(float[] a, int fromA, float[] b, int fromB, int count)
    {
        double sum = 0;
        for (var i = 0; i < count; i++)
            sum += (double)a[fromA + i] * b[fromB + i];
        return sum;
    }

    [Theory, OnDevices]
    public void Gradient_MatchesDifferences(string device)
    {
        using var scope = OpCheck.On(device);
        var x = GradientCheck.Leaf(1, Shape.Of(2, 3, 5), name: "x");
        var w = GradientCheck.Leaf(2, Shape.Of(4, 5), name: "w");
        var bias = GradientCheck.Leaf(3, Shape.Of(4), name: "bias");
        GradientCheck.Run(() => x.Linear(w, bias), x, w, bias);
    }

    [Theory, OnDevices]
    public void FrozenInputs_GetNoWork(string device)
    {
        using var scope = OpCheck.On(device);
        var (x, w, bias) = (OpCheck.Leaf(1, 3, 5), OpCheck.Leaf(2, 4, 5), OpCheck.Leaf(3, 4));
        OpCheck.FrozenInputsGetNoWork(() => x.Linear(w, bias), x, w, bias);
    }

    [Theory, OnDevices]
    public void SecondUse_Accumulates(string device)
    {
        using var scope = OpCheck.On(device);
        var (x, w, bias) = (OpCheck.Leaf(1, 3, 5), OpCheck.Leaf(2, 4, 5), OpCheck.Leaf(3, 4));
        OpCheck.SecondUseAccumulates(() => x.Linear(w, bias), x, w, bias);
    }

    [Theory, OnDevices]
    public void FrozenWeight_GetsNoGradientAndKeepsNoInput(string device)
    {
        using var scope = OpCheck.On(device);
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
