using CudaLora.Engine;

namespace CudaLora.Tests.Ops;

public class DivTests
{
    [Fact]
    public void Output_MatchesDoublePrecision()
    {
        using var scope = TensorScope.Begin();
        Tensor a = OpCheck.Leaf(1, 2, 3), b = Positive(2, 3);
        float[] p = a.ToArray(), q = b.ToArray();
        OpCheck.Values(a.Div(b), Shape.Of(2, 3), i => (double)p[i] / q[i % 3]);
        OpCheck.Values(b.Div(b), Shape.Of(3), i => (double)q[i] / q[i]);
    }

    [Fact]
    public void Gradient_MatchesDifferences()
    {
        using var scope = TensorScope.Begin();
        Tensor a = OpCheck.Leaf(1, 5, 1), b = Positive(3, 2, 1, 4);
        GradientCheck.Run(() => a.Div(b), a, b);
        OpCheck.SecondUseAccumulates(() => a.Div(b), a, b);
        Tensor same = OpCheck.Leaf(4, 2, 1, 4);
        GradientCheck.Run(() => same.Div(b), same, b);
    }

    [Fact]
    public void FrozenInputs_GetNoWork()
    {
        using var scope = TensorScope.Begin();
        Tensor a = OpCheck.Leaf(1, 5, 1), b = Positive(3, 2, 1, 4);
        OpCheck.FrozenInputsGetNoWork(() => a.Div(b), a, b);
    }

    [Fact]
    public void WrongShapes_AreNamed() => OpCheck.Refused(
        "[div] dimensions must be equal or 1, but got 3 and 4 (a (2, 3), b (4))",
        () => Tensor.Zeros(Shape.Of(2, 3)).Div(Tensor.Zeros(Shape.Of(4))));

    // Away from zero, where the quotient is smooth enough for differences.
    private static Tensor Positive(int seed, params ReadOnlySpan<int> dims)
    {
        var leaf = OpCheck.Leaf(seed, dims);
        foreach (ref var v in leaf.Span<float>())
            v = 1.5f + (0.3f * MathF.Tanh(v));
        return leaf;
    }
}
