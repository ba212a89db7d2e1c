using CudaLora.Engine;

namespace CudaLora.Tests.Ops;

public class LogSoftmaxTests
{
    [Theory, OnDevices]
    public void Output_MatchesDoublePrecision(string device)
    {
        using var scope = OpCheck.On(device);
        var x = OpCheck.Leaf(1, 2, 3, 5);
        var p = x.ToArray();
        double Sum(int row) => p.Skip(row * 5).Take(5).Sum(v => Math.Exp(v));
        OpCheck.Values(x.LogSoftmax(), Shape.Of(2, 3, 5), i => p[i] - Math.Log(Sum(i / 5)));
    }

    [Theory, OnDevices]
    public void PyTorchGolden(string device)
    {
        using var scope = OpCheck.On(device);
        OpGolden.Check("log_softmax", ["x"], t => t[0].LogSoftmax());
    }

    [Theory, OnDevices]
    public void ComposedTwin_Agrees(string device)
    {
        using var scope = OpCheck.On(device);
        var x = OpCheck.Leaf(1, 4, 9);
        var softmax = x.Softmax().ToArray();
        OpCheck.Values(x.LogSoftmax(), Shape.Of(4, 9), i => Math.Log(softmax[i]), 1e-6);
    }

    [Theory, OnDevices]
    public void Gradient_MatchesDifferences(string device)
    {
        using var scope = OpCheck.On(device);
        var x = OpCheck.Leaf(1, 3, 5);
        GradientCheck.Run(() => x.LogSoftmax(), x);
        OpCheck.SecondUseAccumulates(() => x.LogSoftmax(), x);
    }

    [Theory, OnDevices]
    public void FrozenInput_GetsNoWork(string device)
    {
        using var scope = OpCheck.On(device);
        var x = OpCheck.Leaf(1, 3, 5);
        OpCheck.FrozenInputsGetNoWork(() => x.LogSoftmax(), x);
    }

    [Fact]
    public void WrongDType_IsNamed() => OpCheck.Refused(
        "[log_softmax] dtype must be F32, but got I32 (x (2, 3))",
        () => Tensor.Zeros(Shape.Of(2, 3), DType.I32).LogSoftmax());

    // Backward works from the rounded output, so that is where the oracle starts: dy - e^y sum(dy).
    [Theory, OnCudaDevices]
    public void Bf16_MatchesDoublePrecision(string device)
    {
        using var scope = OpCheck.On(device);
        var x = OpCheck.Bf16Leaf(1, 3, 7);
        var p = Array.ConvertAll(x.ToArray(), v => (double)v);
        var y = x.LogSoftmax();
        var exact = OpRows.Map(p, 7, row => [.. row.Select(v => v - Math.Log(row.Sum(Math.Exp)))]);
        var rounded = y.ToArray();
        for (var i = 0; i < exact.Length; i++)
            Assert.Equal(exact[i], rounded[i], Math.Abs(exact[i]) / 256);
        var dy = OpCheck.Bf16Leaf(9, 3, 7);
        var d = dy.ToArray();
        y.Backward(dy);
        var gradient = x.Grad!.ToArray();
        for (var i = 0; i < gradient.Length; i++)
        {
            var expected = d[i] - (Math.Exp(rounded[i]) * d.Skip(i / 7 * 7).Take(7).Sum(v => (double)v));
            Assert.Equal(expected, gradient[i], 1e-5 + (Math.Abs(expected) / 256));
        }
    }
}
