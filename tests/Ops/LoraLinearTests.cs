using CudaLora.Engine;

namespace CudaLora.Tests.Ops;

public class LoraLinearTests
{
    [Fact]
    public void PyTorchGolden() => OpGolden.Check(
        "lora_linear", ["x", "w", "a", "b"], t => t[0].LoraLinear(t[1], null, t[2], t[3], 2));

    [Theory]
    [InlineData(0f)]
    [InlineData(0.4f)]
    public void FusedAndComposed_Agree(float dropout)
    {
        using var scope = TensorScope.Begin();
        var mask = new DropoutMask(dropout, 11, 5);
        var (x, w, bias, a, b) = Inputs(true);
        var seed = GradientCheck.Leaf(9, Shape.Of(2, 3, 6), requiresGrad: false);

        var fused = x.LoraLinear(w, bias, a, b, 0.5f, mask);
        var values = fused.ToArray();
        fused.Backward(seed);
        float[][] gradients = [.. new[] { x, w, bias, a, b }.Select(t => t.Grad!.ToArray())];
        foreach (var t in new[] { x, w, bias, a, b })
            t.ZeroGrad();

        var dropped = dropout == 0 ? x : x.Dropout(mask);
        var composed = x.Linear(w, bias).Add(dropped.Linear(a).Linear(b).Scale(0.5f));
        // Both sum the same products in another order: a few units in the last place of values near 3.
        AssertClose(composed.ToArray(), values, 1e-5f);
        composed.Backward(seed);
        foreach (var (t, expected) in new[] { x, w, bias, a, b }.Zip(gradients))
            AssertClose(t.Grad!.ToArray(), expected, 2e-5f);
    }

    [Theory, OnDevices]
    public void Gradient_MatchesDifferences(string device)
    {
        using var scope = OpCheck.On(device);
        var (x, w, bias, a, b) = Inputs(true);
        GradientCheck.Run(() => x.LoraLinear(w, bias, a, b, 0.5f, new DropoutMask(0.3f, 3, 4)), x, w, bias, a, b);
    }

    [Theory, OnDevices]
    public void FrozenInputs_GetNoWork(string device)
    {
        using var scope = OpCheck.On(device);
        var (x, w, bias, a, b) = Inputs(true);
        OpCheck.FrozenInputsGetNoWork(() => x.LoraLinear(w, bias, a, b, 2), x, w, bias, a, b);
    }

    [Theory, OnDevices]
    public void FrozenBase_GetsNoGradientWork(string device)
    {
        using var scope = OpCheck.On(device);
        var (x, w, bias, a, b) = Inputs(false);
        x.LoraLinear(w, bias, a, b, 2).Backward(GradientCheck.Leaf(9, Shape.Of(2, 3, 6), requiresGrad: false));
        Assert.Null(w.Grad);
        Assert.Null(bias.Grad);
        Assert.NotNull(a.Grad);
        Assert.NotNull(b.Grad);
        Assert.NotNull(x.Grad);
    }

    [Fact]
    public void WrongShapes_AreNamed()
    {
        using var scope = TensorScope.Begin();
        var error = Assert.Throws<ArgumentException>(() => Tensor.Zeros(Shape.Of(2, 5)).LoraLinear(
            Tensor.Zeros(Shape.Of(6, 5)), null, Tensor.Zeros(Shape.Of(3, 5)), Tensor.Zeros(Shape.Of(6, 2)), 1));
        Assert.Equal(
            "[lora_linear] A must be (r, in) and B (out, r), but got A (3, 5), B (6, 2), weight (6, 5)", error.Message);
    }

    private static (Tensor X, Tensor W, Tensor Bias, Tensor A, Tensor B) Inputs(bool trainBase) => (
        GradientCheck.Leaf(1, Shape.Of(2, 3, 5), name: "x"),
        GradientCheck.Leaf(2, Shape.Of(6, 5), requiresGrad: trainBase, name: "w"),
        GradientCheck.Leaf(3, Shape.Of(6), requiresGrad: trainBase, name: "bias"),
        GradientCheck.Leaf(4, Shape.Of(2, 5), name: "a"),
        GradientCheck.Leaf(5, Shape.Of(6, 2), name: "b"));

    private static void AssertClose(float[] expected, float[] actual, float tolerance)
    {
        Assert.Equal(expected.Length, actual.Length);
        for (var i = 0; i < expected.Length; i++)
            Assert.Equal(expected[i], actual[i], tolerance);
    }

    // What an adapter adds in its first steps is far below the last bit of the base's output. Rounded once, it moves as
    // many elements over to the next value as it should on average; added after the base was rounded, it would move
    // none. Here it is 1e-3 S against outputs of about 8, whose half unit is 0.0156, with |S| about 8: the sum over
    // 4096 elements agrees to 3 %, or is near zero.
    [Theory, OnCudaDevices]
    public void SmallAdaptersAreNotRoundedAway(string device)
    {
        using var scope = OpCheck.On(device);
        using var mode = GradMode.NoGrad();
        const int N = 64;
        Tensor x = OpCheck.Bf16Leaf(1, N, N), w = OpCheck.Bf16Leaf(2, N, N);
        Tensor a = Tensor.Zeros(Shape.Of(1, N)), b = Tensor.Zeros(Shape.Of(N, 1));
        a.Fill(1);
        b.Fill(1e-3f);
        float[] inputs = x.ToArray(), with = x.LoraLinear(w, null, a, b, 1).ToArray(), without = x.Linear(w).ToArray();
        double expected = 0, actual = 0;
        for (var i = 0; i < with.Length; i++)
        {
            var s = inputs.Skip(i / N * N).Take(N).Sum();
            expected += 1e-3 * Math.Abs(s);
            actual += (with[i] - without[i]) * Math.Sign(s);
        }
        Assert.Equal(expected, actual, 0.1 * expected);
    }
}
