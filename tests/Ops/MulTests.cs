using CudaLora.Engine;

namespace CudaLora.Tests.Ops;

public class MulTests
{
    [Theory, OnDevices]
    public void Output_MatchesDoublePrecision(string device)
    {
        using var scope = OpCheck.On(device);
        Tensor a = OpCheck.Leaf(1, 2, 3), b = OpCheck.Leaf(2, 3);
        float[] p = a.ToArray(), q = b.ToArray();
        OpCheck.Values(a.Mul(b), Shape.Of(2, 3), i => (double)p[i] * q[i % 3]);
        OpCheck.Values(b.Mul(b), Shape.Of(3), i => (double)q[i] * q[i]);
    }

    [Theory, OnDevices]
    public void Gradient_MatchesDifferences(string device)
    {
        using var scope = OpCheck.On(device);
        Tensor a = OpCheck.Leaf(1, 5, 1), b = OpCheck.Leaf(3, 2, 1, 4);
        GradientCheck.Run(() => a.Mul(b), a, b);
        OpCheck.SecondUseAccumulates(() => a.Mul(b), a, b);
        Tensor same = OpCheck.Leaf(4, 2, 1, 4);
        GradientCheck.Run(() => same.Mul(b), same, b);
    }

    [Theory, OnDevices]
    public void FrozenInputs_GetNoWork(string device)
    {
        using var scope = OpCheck.On(device);
        Tensor a = OpCheck.Leaf(1, 5, 1), b = OpCheck.Leaf(3, 2, 1, 4);
        OpCheck.FrozenInputsGetNoWork(() => a.Mul(b), a, b);
    }

    [Theory, OnCudaDevices]
    public void Bf16_MatchesDoublePrecision(string device)
    {
        using var scope = OpCheck.On(device);
        Bf16Check.Run(
            t => t[0].Mul(t[1]), t => [.. t[0].Select((v, i) => v * t[1][i])], Shape.Of(3, 16), Shape.Of(3, 16));
        // A bias in F32: the result is BF16, the bias's gradient F32.
        var bias = OpCheck.Leaf(2, 8);
        Bf16Check.Run(
            t => t[0].Mul(t[1]), t => [.. t[0].Select((v, i) => v * t[1][i % 8])], [OpCheck.Bf16Leaf(1, 5, 8), bias]);
        Assert.Equal(DType.BF16, bias.Mul(OpCheck.Bf16Leaf(1, 5, 8)).DType);
    }

    [Fact]
    public void WrongShapes_AreNamed() => OpCheck.Refused(
        "[mul] dimensions must be equal or 1, but got 3 and 4 (a (2, 3), b (4))",
        () => Tensor.Zeros(Shape.Of(2, 3)).Mul(Tensor.Zeros(Shape.Of(4))));
}
