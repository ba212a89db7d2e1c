using CudaLora.Engine;

namespace CudaLora.Tests.Ops;

public class DivTests
{
    [Theory, OnDevices]
    public void Output_MatchesDoublePrecision(string device)
    {
        using var scope = OpCheck.On(device);
        Tensor a = OpCheck.Leaf(1, 2, 3), b = Positive(2, 3);
        float[] p = a.ToArray(), q = b.ToArray();
        OpCheck.Values(a.Div(b), Shape.Of(2, 3), i => (double)p[i] / q[i % 3]);
        OpCheck.Values(b.Div(b), Shape.Of(3), i => (double)q[i] / q[i]);
    }

    [Theory, OnDevices]
    public void Gradient_MatchesDifferences(string device)
    {
        using var scope = OpCheck.On(device);
        Tensor a = OpCheck.Leaf(1, 5, 1), b = Positive(3, 2, 1, 4);
        GradientCheck.Run(() => a.Div(b), a, b);
        OpCheck.SecondUseAccumulates(() => a.Div(b), a, b);
        Tensor same = OpCheck.Leaf(4, 2, 1, 4);
        GradientCheck.Run(() => same.Div(b), same, b);
    }

    [Theory, OnDevices]
    public void FrozenInputs_GetNoWork(string device)
    {
        using var scope = OpCheck.On(device);
        Tensor a = OpCheck.Leaf(1, 5, 1), b = Positive(3, 2, 1, 4);
        OpCheck.FrozenInputsGetNoWork(() => a.Div(b), a, b);
    }

    [Theory, OnCudaDevices]
    public void Bf16_MatchesDoublePrecision(string device)
    {
        using var scope = OpCheck.On(device);
        static double[] Formula(double[][] t) => [.. t[0].Select((v, i) => v / t[1][i % 8])];
        Tensor divisor = Positive(2, 8), whole = OpCheck.Bf16Leaf(3, 8);
        whole.CopyFrom(Array.ConvertAll(divisor.ToArray(), Bits));
        Bf16Check.Run(t => t[0].Div(t[1]), Formula, [OpCheck.Bf16Leaf(1, 8), whole]);
        // A divisor in F32: the result is BF16, the divisor's gradient F32.
        Bf16Check.Run(t => t[0].Div(t[1]), Formula, [OpCheck.Bf16Leaf(1, 5, 8), divisor]);

        static ushort Bits(float value) => (ushort)(BitConverter.SingleToUInt32Bits(value) >> 16);
    }

    [Fact]
    public void WrongShapes_AreNamed() => OpCheck.Refused(
        "[div] dimensions must be equal or 1, but got 3 and 4 (a (2, 3), b (4))",
        () => Tensor.Zeros(Shape.Of(2, 3)).Div(Tensor.Zeros(Shape.Of(4))));

    // Away from zero, where the quotient is smooth enough for differences.
    private static Tensor Positive(int seed, params ReadOnlySpan<int> dims)
    {
        var leaf = OpCheck.Leaf(seed, dims);
        leaf.CopyFrom(Array.ConvertAll(leaf.ToArray(), v => 1.5f + (0.3f * MathF.Tanh(v))));
        return leaf;
    }
}
