using CudaLora.Engine;

namespace CudaLora.Tests.Ops;

public class SwigluTests
{
    [Fact]
    public void PyTorchGolden() => OpGolden.Check("swiglu", ["gate", "up"], t => t[0].Swiglu(t[1]));

    [Fact]
    public void Output_MatchesDoublePrecision()
    {
        using var scope = TensorScope.Begin();
        Tensor gate = OpCheck.Leaf(1, 2, 7), up = OpCheck.Leaf(2, 2, 7);
        float[] p = gate.ToArray(), q = up.ToArray();
        OpCheck.Values(gate.Swiglu(up), Shape.Of(2, 7), i => p[i] / (1 + Math.Exp(-p[i])) * q[i]);
    }

    [Fact]
    public void ComposedTwin_Agrees()
    {
        using var scope = TensorScope.Begin();
        Tensor gate = OpCheck.Leaf(1, 3, 11), up = OpCheck.Leaf(2, 3, 11);
        var composed = gate.Silu().Mul(up).ToArray();
        OpCheck.Values(gate.Swiglu(up), Shape.Of(3, 11), i => composed[i], 1e-6);
    }

    [Fact]
    public void Gradient_MatchesDifferences()
    {
        using var scope = TensorScope.Begin();
        Tensor gate = OpCheck.Leaf(1, 2, 7), up = OpCheck.Leaf(2, 2, 7);
        GradientCheck.Run(() => gate.Swiglu(up), gate, up);
        OpCheck.SecondUseAccumulates(() => gate.Swiglu(up), gate, up);
    }

    [Fact]
    public void FrozenInputs_GetNoWork()
    {
        using var scope = TensorScope.Begin();
        Tensor gate = OpCheck.Leaf(1, 2, 7), up = OpCheck.Leaf(2, 2, 7);
        OpCheck.FrozenInputsGetNoWork(() => gate.Swiglu(up), gate, up);
    }

    [Fact]
    public void WrongShapes_AreNamed() => OpCheck.Refused(
        "[swiglu] gate and up must have one shape, but got gate (2, 3), up (2, 4)",
        () => Tensor.Zeros(Shape.Of(2, 3)).Swiglu(Tensor.Zeros(Shape.Of(2, 4))));
}
