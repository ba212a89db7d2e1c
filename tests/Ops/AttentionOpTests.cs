using CudaLora.Engine;

namespace CudaLora.Tests.Ops;

public class AttentionOpTests
{
    // In the cached case three queries come last of eight keys.
    [Theory]
    [InlineData("attention_causal", 0)]
    [InlineData("attention_gqa", 0)]
    [InlineData("attention_window", 3)]
    [InlineData("attention_cached", 0)]
    public void PyTorchGoldens(string name, int window) => OpGolden.Check(
        name, ["q", "k", "v"], t => t[0].Attention(
            t[1], t[2], new AttentionOptions { Scale = 1 / MathF.Sqrt(8), Causal = true, Window = window }));

    [Theory]
    [InlineData(0, false)]
    [InlineData(3, false)]
    [InlineData(0, true)]
    public void Gradient_MatchesDifferences(int window, bool segments)
    {
        using var scope = TensorScope.Begin();
        var q = GradientCheck.Leaf(1, Shape.Of(2, 6, 4, 8), name: "q");
        var k = GradientCheck.Leaf(2, Shape.Of(2, 6, 2, 8), name: "k");
        var v = GradientCheck.Leaf(3, Shape.Of(2, 6, 2, 8), name: "v");
        var options = new AttentionOptions
        {
            Scale = 0.35f,
            Causal = true,
            Window = window,
            Segments = segments ? Tensor.From([0, 0, 0, 1, 1, 1, 0, 0, 1, 1, 2, 2], Shape.Of(2, 6)) : null,
        };
        GradientCheck.Run(() => q.Attention(k, v, options), q, k, v);
    }

    [Fact]
    public void Composed_GivesTheSame()
    {
        using var scope = TensorScope.Begin();
        var q = GradientCheck.Leaf(1, Shape.Of(1, 5, 1, 8));
        var k = GradientCheck.Leaf(2, Shape.Of(1, 5, 1, 8));
        var v = GradientCheck.Leaf(3, Shape.Of(1, 5, 1, 8));

        var fused = q.Attention(k, v, new AttentionOptions { Scale = 0.5f });

        var flat = Shape.Of(5, 8);
        var p = q.Reshape(flat).MatMul(k.Reshape(flat), transposeB: true).Scale(0.5f).Softmax();
        var composed = p.MatMul(v.Reshape(flat));
        for (var i = 0; i < 40; i++)
            Assert.Equal(composed.Span<float>()[i], fused.Span<float>()[i], 1e-5f);
    }

    [Fact]
    public void CacheWithRoom_GivesTheSameAsExactKeys()
    {
        using var scope = TensorScope.Begin();
        using var mode = GradMode.NoGrad();
        var q = GradientCheck.Leaf(1, Shape.Of(2, 1, 2, 8));
        var k = GradientCheck.Leaf(2, Shape.Of(2, 9, 1, 8));
        var v = GradientCheck.Leaf(3, Shape.Of(2, 9, 1, 8));
        var exact = q.Attention(k.Slice(1, 0, 4), v.Slice(1, 0, 4),
            new AttentionOptions { Scale = 0.3f, Causal = true });
        var cached = q.Attention(k, v, new AttentionOptions { Scale = 0.3f, Causal = true, KeyCount = 4 });
        Assert.Equal(exact.ToArray(), cached.ToArray());
    }

    [Fact]
    public void WrongShapes_AreNamed()
    {
        using var scope = TensorScope.Begin();
        var q = Tensor.Zeros(Shape.Of(1, 2, 3, 4));
        var k = Tensor.Zeros(Shape.Of(1, 2, 2, 4));
        var error = Assert.Throws<ArgumentException>(() => q.Attention(k, k, new AttentionOptions { Scale = 1 }));
        Assert.Contains("but got q (1, 2, 3, 4), k (1, 2, 2, 4), v (1, 2, 2, 4)", error.Message,
            StringComparison.Ordinal);
    }
}
