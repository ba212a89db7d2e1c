using CudaLora.Engine;

namespace CudaLora.Tests.Ops;

public class CastTests
{
    [Theory, OnDevices]
    public void Output_IsRounded(string device)
    {
        using var scope = OpCheck.On(device);
        var x = OpCheck.Leaf(1, 3, 7);
        var p = x.ToArray();
        // bfloat16 keeps 8 bits of mantissa, half 11.
        var brain = x.Cast(DType.BF16).Cast(DType.F32).ToArray();
        var half = x.Cast(DType.F16);
        var bits = new Half[p.Length];
        half.CopyTo<Half>(bits);
        for (var i = 0; i < p.Length; i++)
        {
            Assert.InRange(Math.Abs(brain[i] - p[i]), 0, Math.Abs(p[i]) / 256);
            Assert.Equal((Half)p[i], bits[i]);
        }
        OpCheck.Values(half.Cast(DType.F32), x.Shape, i => (double)(Half)p[i], 0);
        Assert.Same(x, x.Cast(DType.F32));
    }

    [Theory, OnDevices]
    public void NarrowToNarrow_EqualsTheWayThroughF32(string device)
    {
        using var scope = OpCheck.On(device);
        foreach (var (first, second) in new[] { (DType.BF16, DType.F16), (DType.F16, DType.BF16) })
        {
            var x = OpCheck.Leaf(1, 3, 7).Cast(first);
            Assert.Equal(Bits(x.Cast(DType.F32).Cast(second)), Bits(x.Cast(second)));
        }

        static ushort[] Bits(Tensor x)
        {
            var bits = new ushort[x.Count];
            x.CopyTo<ushort>(bits);
            return bits;
        }
    }

    [Theory, OnDevices]
    public void Gradient_PassesUnchanged(string device)
    {
        using var scope = OpCheck.On(device);
        var x = OpCheck.Leaf(1, 3, 7);
        var seed = GradientCheck.Leaf(2, Shape.Of(3, 7), requiresGrad: false);
        x.Cast(DType.F16).Cast(DType.F32).Backward(seed);
        Assert.Equal(seed.ToArray(), x.Grad!.ToArray());
        x.ZeroGrad();
        x.Cast(DType.BF16).Cast(DType.F32).Backward(seed);
        // On CUDA a BF16 tensor has a BF16 gradient: 8 bits.
        foreach (var (given, got) in seed.ToArray().Zip(x.Grad!.ToArray()))
            Assert.InRange(Math.Abs(given - got), 0, device == "cpu" ? 0 : Math.Abs(given) / 256);
        OpCheck.SecondUseAccumulates(() => x.Cast(DType.F16).Cast(DType.F32), x);
    }

    [Theory, OnDevices]
    public void FrozenInput_GetsNoWork(string device)
    {
        using var scope = OpCheck.On(device);
        var x = OpCheck.Leaf(1, 2, 3);
        OpCheck.FrozenInputsGetNoWork(() => x.Cast(DType.BF16).Cast(DType.F32), x);
    }

    [Theory, OnCudaDevices]
    public void Gradients_HaveTheTypeOfTheTensor(string device)
    {
        using var scope = OpCheck.On(device);
        Bf16Check.Run(t => t[0].Cast(DType.F32), t => [.. t[0]], Shape.Of(3, 7));
        Bf16Check.Run(t => t[0].Cast(DType.BF16), t => [.. t[0]], [OpCheck.Leaf(1, 3, 7)]);
    }

    [Fact]
    public void WrongDType_IsNamed() => OpCheck.Refused(
        "[cast] dtypes must be F32, BF16 or F16, but got I32 to F32 (x (2))",
        () => OpCheck.Ids(1, 2).Cast(DType.F32));
}
