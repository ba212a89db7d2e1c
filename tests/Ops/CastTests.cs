using CudaLora.Engine;

namespace CudaLora.Tests.Ops;

public class CastTests
{
    [Fact]
    public void Output_IsRounded()
    {
        using var scope = TensorScope.Begin();
        var x = OpCheck.Leaf(1, 3, 7);
        var p = x.ToArray();
        // bfloat16 keeps 8 bits of mantissa, half 11.
        var brain = x.Cast(DType.BF16).Cast(DType.F32).ToArray();
        var half = x.Cast(DType.F16);
        for (var i = 0; i < p.Length; i++)
        {
            Assert.InRange(Math.Abs(brain[i] - p[i]), 0, Math.Abs(p[i]) / 256);
            Assert.Equal((Half)p[i], half.Span<Half>()[i]);
        }
        OpCheck.Values(half.Cast(DType.F32), x.Shape, i => (double)(Half)p[i], 0);
        Assert.Same(x, x.Cast(DType.F32));
    }

    [Theory]
    [InlineData(DType.BF16, DType.F16)]
    [InlineData(DType.F16, DType.BF16)]
    public void NarrowToNarrow_EqualsTheWayThroughF32(DType first, DType second)
    {
        using var scope = TensorScope.Begin();
        var x = OpCheck.Leaf(1, 3, 7).Cast(first);
        Assert.Equal(
            x.Cast(DType.F32).Cast(second).Span<ushort>().ToArray(), x.Cast(second).Span<ushort>().ToArray());
    }

    [Fact]
    public void Gradient_PassesUnchanged()
    {
        using var scope = TensorScope.Begin();
        var x = OpCheck.Leaf(1, 3, 7);
        var seed = GradientCheck.Leaf(2, Shape.Of(3, 7), requiresGrad: false);
        x.Cast(DType.BF16).Cast(DType.F32).Backward(seed);
        Assert.Equal(seed.ToArray(), x.Grad!.ToArray());
        OpCheck.SecondUseAccumulates(() => x.Cast(DType.F16).Cast(DType.F32), x);
    }

    [Fact]
    public void FrozenInput_GetsNoWork()
    {
        using var scope = TensorScope.Begin();
        var x = OpCheck.Leaf(1, 2, 3);
        OpCheck.FrozenInputsGetNoWork(() => x.Cast(DType.BF16).Cast(DType.F32), x);
    }

    [Fact]
    public void WrongDType_IsNamed() => OpCheck.Refused(
        "[cast] dtypes must be F32, BF16 or F16, but got I32 to F32 (x (2))",
        () => OpCheck.Ids(1, 2).Cast(DType.F32));
}
