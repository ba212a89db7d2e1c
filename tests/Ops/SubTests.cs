using CudaLora.Engine;

namespace CudaLora.Tests.Ops;

public class SubTests
{
    [Fact]
    public void Output_MatchesDoublePrecision()
    {
        using var scope = TensorScope.Begin();
        Tensor a = OpCheck.Leaf(1, 2, 3), b = OpCheck.Leaf(2, 3);
        float[] p = a.ToArray(), q = b.ToArray();
        OpCheck.Values(a.Sub(b), Shape.Of(2, 3), i => (double)p[i] - q[i % 3]);
        OpCheck.Values(b.Sub(b), Shape.Of(3), i => (double)q[i] - q[i]);
    }

    [Fact]
    public void Gradient_MatchesDifferences()
    {
        using var scope = TensorScope.Begin();
        Tensor a = OpCheck.Leaf(1, 5, 1), b = OpCheck.Leaf(3, 2, 1, 4);
        GradientCheck.Run(() => a.Sub(b), a, b);
        OpCheck.SecondUseAccumulates(() => a.Sub(b), a, b);
        Tensor same = OpCheck.Leaf(4, 2, 1, 4);
        GradientCheck.Run(() => same.Sub(b), same, b);
    }

    [Fact]
    public void FrozenInputs_GetNoWork()
    {
        using var scope = TensorScope.Begin();
        Tensor a = OpCheck.Leaf(1, 5, 1), b = OpCheck.Leaf(3, 2, 1, 4);
        OpCheck.FrozenInputsGetNoWork(() => a.Sub(b), a, b);
    }

    [Fact]
    public void WrongShapes_AreNamed() => OpCheck.Refused(
        "[sub] dimensions must be equal or 1, but got 3 and 4 (a (2, 3), b (4))",
        () => Tensor.Zeros(Shape.Of(2, 3)).Sub(Tensor.Zeros(Shape.Of(4))));
}
