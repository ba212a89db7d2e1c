using CudaLora.Engine;

namespace CudaLora.Tests.Ops;

public class ScaleTests
{
    [Theory, OnDevices]
    public void Output_MatchesDoublePrecision(string device)
    {
        using var scope = OpCheck.On(device);
        var x = OpCheck.Leaf(1, 3, 5);
        var p = x.ToArray();
        OpCheck.Values(x.Scale(-0.3f), Shape.Of(3, 5), i => p[i] * (double)-0.3f);
    }

    [Theory, OnDevices]
    public void Gradient_MatchesDifferences(string device)
    {
        using var scope = OpCheck.On(device);
        var x = OpCheck.Leaf(1, 3, 5);
        GradientCheck.Run(() => x.Scale(-0.3f), x);
        OpCheck.SecondUseAccumulates(() => x.Scale(-0.3f), x);
    }

    [Theory, OnDevices]
    public void FrozenInput_GetsNoWork(string device)
    {
        using var scope = OpCheck.On(device);
        var x = OpCheck.Leaf(1, 3, 5);
        OpCheck.FrozenInputsGetNoWork(() => x.Scale(2), x);
    }

    [Theory, OnCudaDevices]
    public void Bf16_MatchesDoublePrecision(string device)
    {
        using var scope = OpCheck.On(device);
        Bf16Check.Run(t => t[0].Scale(-0.3f), t => [.. t[0].Select(v => -0.3f * v)], Shape.Of(3, 7));
    }

    [Fact]
    public void WrongDType_IsNamed() => OpCheck.Refused(
        "[scale] dtype must be F32, but got I32 (x (2, 3))",
        () => Tensor.Zeros(Shape.Of(2, 3), DType.I32).Scale(2));
}
