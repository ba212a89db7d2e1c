using CudaLora.Engine;

namespace CudaLora.Tests.Ops;

public class SiluTests
{
    [Theory, OnDevices]
    public void Output_MatchesDoublePrecision(string device)
    {
        using var scope = OpCheck.On(device);
        var x = OpCheck.Leaf(1, 3, 5);
        var p = x.ToArray();
        OpCheck.Values(x.Silu(), Shape.Of(3, 5), i => p[i] / (1 + Math.Exp(-p[i])));
    }

    [Theory, OnDevices]
    public void PyTorchGolden(string device)
    {
        using var scope = OpCheck.On(device);
        OpGolden.Check("silu", ["x"], t => t[0].Silu());
    }

    [Theory, OnDevices]
    public void Gradient_MatchesDifferences(string device)
    {
        using var scope = OpCheck.On(device);
        var x = OpCheck.Leaf(1, 3, 5);
        GradientCheck.Run(() => x.Silu(), x);
        OpCheck.SecondUseAccumulates(() => x.Silu(), x);
    }

    [Theory, OnDevices]
    public void FrozenInput_GetsNoWork(string device)
    {
        using var scope = OpCheck.On(device);
        var x = OpCheck.Leaf(1, 3, 5);
        OpCheck.FrozenInputsGetNoWork(() => x.Silu(), x);
    }

    [Theory, OnCudaDevices]
    public void Bf16_MatchesDoublePrecision(string device)
    {
        using var scope = OpCheck.On(device);
        Bf16Check.Run(t => t[0].Silu(), t => [.. t[0].Select(v => v / (1 + Math.Exp(-v)))], Shape.Of(3, 7));
    }

    [Fact]
    public void WrongDType_IsNamed() => OpCheck.Refused(
        "[silu] dtype must be F32, but got I32 (x (2, 3))",
        () => Tensor.Zeros(Shape.Of(2, 3), DType.I32).Silu());
}
