using CudaLora.Engine;

namespace CudaLora.Tests.Ops;

public class SwigluTests
{
    [Theory, OnDevices]
    public void PyTorchGolden(string device)
    {
        using var scope = OpCheck.On(device);
        OpGolden.Check("swiglu", ["gate", "up"], t => t[0].Swiglu(t[1]));
    }

    [Theory, OnDevices]
    public void Output_MatchesDoublePrecision(string device)
    {
        using var scope = OpCheck.On(device);
        Tensor gate = OpCheck.Leaf(1, 2, 7), up = OpCheck.Leaf(2, 2, 7);
        float[] p = gate.ToArray(), q = up.ToArray();
        OpCheck.Values(gate.Swiglu(up), Shape.Of(2, 7), i => p[i] / (1 + Math.Exp(-p[i])) * q[i]);
    }

    [Theory, OnDevices]
    public void ComposedTwin_Agrees(string device)
    {
        using var scope = OpCheck.On(device);
        Tensor gate = OpCheck.Leaf(1, 3, 11), up = OpCheck.Leaf(2, 3, 11);
        var composed = gate.Silu().Mul(up).ToArray();
        OpCheck.Values(gate.Swiglu(up), Shape.Of(3, 11), i => composed[i], 1e-6);
    }

    [Theory, OnDevices]
    public void Gradient_MatchesDifferences(string device)
    {
        using var scope = OpCheck.On(device);
        Tensor gate = OpCheck.Leaf(1, 2, 7), up = OpCheck.Leaf(2, 2, 7);
        GradientCheck.Run(() => gate.Swiglu(up), gate, up);
        OpCheck.SecondUseAccumulates(() => gate.Swiglu(up), gate, up);
    }

    [Theory, OnDevices]
    public void FrozenInputs_GetNoWork(string device)
    {
        using var scope = OpCheck.On(device);
        Tensor gate = OpCheck.Leaf(1, 2, 7), up = OpCheck.Leaf(2, 2, 7);
        OpCheck.FrozenInputsGetNoWork(() => gate.Swiglu(up), gate, up);
    }

    [Theory, OnCudaDevices]
    public void Bf16_MatchesDoublePrecision(string device)
    {
        using var scope = OpCheck.On(device);
        Bf16Check.Run(
            t => t[0].Swiglu(t[1]), t => [.. t[0].Select((v, i) => v / (1 + Math.Exp(-v)) * t[1][i])],
            Shape.Of(3, 16), Shape.Of(3, 16));
    }

    [Fact]
    public void WrongShapes_AreNamed() => OpCheck.Refused(
        "[swiglu] gate and up must have one shape, but got gate (2, 3), up (2, 4)",
        () => Tensor.Zeros(Shape.Of(2, 3)).Swiglu(Tensor.Zeros(Shape.Of(2, 4))));
}
