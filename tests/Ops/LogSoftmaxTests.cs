using CudaLora.Engine;

namespace CudaLora.Tests.Ops;

public class LogSoftmaxTests
{
    [Fact]
    public void Output_MatchesDoublePrecision()
    {
        using var scope = TensorScope.Begin();
        var x = OpCheck.Leaf(1, 2, 3, 5);
        var p = x.ToArray();
        double Sum(int row) => p.Skip(row * 5).Take(5).Sum(v => Math.Exp(v));
        OpCheck.Values(x.LogSoftmax(), Shape.Of(2, 3, 5), i => p[i] - Math.Log(Sum(i / 5)));
    }

    [Fact]
    public void PyTorchGolden() => OpGolden.Check("log_softmax", ["x"], t => t[0].LogSoftmax());

    [Fact]
    public void ComposedTwin_Agrees()
    {
        using var scope = TensorScope.Begin();
        var x = OpCheck.Leaf(1, 4, 9);
        var softmax = x.Softmax().ToArray();
        OpCheck.Values(x.LogSoftmax(), Shape.Of(4, 9), i => Math.Log(softmax[i]), 1e-6);
    }

    [Fact]
    public void Gradient_MatchesDifferences()
    {
        using var scope = TensorScope.Begin();
        var x = OpCheck.Leaf(1, 3, 5);
        GradientCheck.Run(() => x.LogSoftmax(), x);
        OpCheck.SecondUseAccumulates(() => x.LogSoftmax(), x);
    }

    [Fact]
    public void FrozenInput_GetsNoWork()
    {
        using var scope = TensorScope.Begin();
        var x = OpCheck.Leaf(1, 3, 5);
        OpCheck.FrozenInputsGetNoWork(() => x.LogSoftmax(), x);
    }

    [Fact]
    public void WrongDType_IsNamed() => OpCheck.Refused(
        "[log_softmax] dtype must be F32, but got I32 (x (2, 3))",
        () => Tensor.Zeros(Shape.Of(2, 3), DType.I32).LogSoftmax());
}
