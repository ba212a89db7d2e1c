using CudaLora.Engine;

namespace CudaLora.Tests.Ops;

public class SoftmaxTests
{
    [Theory, OnDevices]
    public void Output_MatchesDoublePrecision(string device)
    {
        using var scope = OpCheck.On(device);
        var x = OpCheck.Leaf(1, 2, 3, 5);
        var p = x.ToArray();
        double Sum(int row) => p.Skip(row * 5).Take(5).Sum(v => Math.Exp(v));
        OpCheck.Values(x.Softmax(), Shape.Of(2, 3, 5), i => Math.Exp(p[i]) / Sum(i / 5));
    }

    [Theory, OnDevices]
    public void PyTorchGolden(string device)
    {
        using var scope = OpCheck.On(device);
        OpGolden.Check("softmax", ["x"], t => t[0].Softmax());
    }

    [Theory, OnDevices]
    public void Gradient_MatchesDifferences(string device)
    {
        using var scope = OpCheck.On(device);
        var x = OpCheck.Leaf(1, 3, 5);
        GradientCheck.Run(() => x.Softmax(), x);
        OpCheck.SecondUseAccumulates(() => x.Softmax(), x);
    }

    [Theory, OnDevices]
    public void FrozenInput_GetsNoWork(string device)
    {
        using var scope = OpCheck.On(device);
        var x = OpCheck.Leaf(1, 3, 5);
        OpCheck.FrozenInputsGetNoWork(() => x.Softmax(), x);
    }

    [Fact]
    public void WrongDType_IsNamed() => OpCheck.Refused(
        "[softmax] dtype must be F32, but got I32 (x (2, 3))",
        () => Tensor.Zeros(Shape.Of(2, 3), DType.I32).Softmax());

    [Theory, OnCudaDevices]
    public void Bf16_MatchesDoublePrecision(string device)
    {
        using var scope = OpCheck.On(device);
        Bf16Check.Run(
            t => t[0].Softmax(),
            t => OpRows.Map(t[0], 7, row => [.. row.Select(v => Math.Exp(v) / row.Sum(Math.Exp))]), Shape.Of(3, 7));
    }
}
