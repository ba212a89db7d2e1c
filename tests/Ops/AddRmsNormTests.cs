using CudaLora.Engine;

namespace CudaLora.Tests.Ops;

public class AddRmsNormTests
{
    // Both results count.
    private static Tensor Fused(Tensor x, Tensor r, Tensor w)
    {
        var (sum, norm) = x.AddRmsNorm(r, w, 1e-5f);
        return sum.Mul(norm);
    }

    private static Tensor Composed(Tensor x, Tensor r, Tensor w)
    {
        var sum = x.Add(r);
        return sum.Mul(sum.RmsNorm(w, 1e-5f));
    }

    private static float[][] Run(Func<Tensor, Tensor, Tensor, Tensor> op, params Tensor[] leaves)
    {
        var y = op(leaves[0], leaves[1], leaves[2]);
        y.Backward(y.DType == DType.BF16 ? OpCheck.Bf16Leaf(9, 3, 7) : OpCheck.Leaf(9, 3, 7));
        float[][] all = [y.ToArray(), .. leaves.Select(leaf => leaf.Grad!.ToArray())];
        foreach (var leaf in leaves)
            leaf.ReleaseGrad();
        return all;
    }

    [Theory, OnDevices]
    public void ComposedTwin_HasTheSameBits(string device)
    {
        using var scope = OpCheck.On(device);
        Tensor x = OpCheck.Leaf(1, 3, 7), r = OpCheck.Leaf(2, 3, 7), w = OpCheck.Leaf(3, 7);
        Assert.Equal(Run(Composed, x, r, w), Run(Fused, x, r, w));
    }

    [Theory, OnCudaDevices]
    public void Bf16_ComposedTwin_HasTheSameBits(string device)
    {
        using var scope = OpCheck.On(device);
        Tensor x = OpCheck.Bf16Leaf(1, 3, 7), r = OpCheck.Bf16Leaf(2, 3, 7), w = OpCheck.Leaf(3, 7);
        Assert.Equal(Run(Composed, x, r, w), Run(Fused, x, r, w));
    }

    [Theory, OnDevices]
    public void Gradient_MatchesDifferences(string device)
    {
        using var scope = OpCheck.On(device);
        Tensor x = OpCheck.Leaf(1, 3, 7), r = OpCheck.Leaf(2, 3, 7), w = OpCheck.Leaf(3, 7);
        GradientCheck.Run(() => Fused(x, r, w), x, r, w);
        OpCheck.SecondUseAccumulates(() => Fused(x, r, w), x, r, w);
    }

    [Theory, OnDevices]
    public void FrozenInputs_GetNoWork(string device)
    {
        using var scope = OpCheck.On(device);
        Tensor x = OpCheck.Leaf(1, 3, 7), r = OpCheck.Leaf(2, 3, 7), w = OpCheck.Leaf(3, 7);
        OpCheck.FrozenInputsGetNoWork(() => Fused(x, r, w), x, r, w);
    }

    [Fact]
    public void WrongShapes_AreNamed() => OpCheck.Refused(
        "[add_rms_norm] residual must be like x, but got x F32 (2, 3), residual F32 (3)",
        () => Tensor.Zeros(Shape.Of(2, 3)).AddRmsNorm(Tensor.Zeros(Shape.Of(3)), Tensor.Zeros(Shape.Of(3)), 1e-5f));
}
