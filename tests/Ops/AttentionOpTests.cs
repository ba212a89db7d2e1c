using CudaLora.Engine;

namespace CudaLora.Tests.Ops;

public class AttentionOpTests
{
    // In the cached case three queries come last of eight keys.
    public static TheoryData<string, int, string> Goldens
    {
        get
        {
            var data = new TheoryData<string, int, string>();
            foreach (var device in TestDevice.Names)
            {
                data.Add("attention_causal", 0, device);
                data.Add("attention_gqa", 0, device);
                data.Add("attention_window", 3, device);
                data.Add("attention_cached", 0, device);
            }
            return data;
        }
    }

    [Theory]
    [MemberData(nameof(Goldens))]
    public void PyTorchGoldens(string name, int window, string device)
    {
        using var scope = OpCheck.On(device);
        OpGolden.Check(
            name, ["q", "k", "v"], t => t[0].Attention(
                t[1], t[2], new AttentionOptions { Scale = 1 / MathF.Sqrt(8), Causal = true, Window = window }));
    }

    [Theory, OnDevices]
    public void Gradient_MatchesDifferences(string device)
    {
        foreach (var (window, segments) in new[] { (0, false), (3, false), (0, true) })
        {
            using var scope = OpCheck.On(device);
            var (q, k, v) = Leaves(Shape.Of(2, 6, 4, 8), Shape.Of(2, 6, 2, 8));
            var options = new AttentionOptions
            {
                Scale = 0.35f,
                Causal = true,
                Window = window,
                Segments = segments ? Tensor.From([0, 0, 0, 1, 1, 1, 0, 0, 1, 1, 2, 2], Shape.Of(2, 6)) : null,
            };
            GradientCheck.Run(() => q.Attention(k, v, options), q, k, v);
        }
    }

    [Theory, OnDevices]
    public void FrozenInputs_GetNoWork(string device)
    {
        using var scope = OpCheck.On(device);
        var (q, k, v) = Leaves(Shape.Of(1, 5, 2, 8), Shape.Of(1, 5, 1, 8));
        OpCheck.FrozenInputsGetNoWork(
            () => q.Attention(k, v, new AttentionOptions { Scale = 0.3f, Causal = true }), q, k, v);
    }

    [Theory, OnDevices]
    public void SecondBackward_Accumulates(string device)
    {
        using var scope = OpCheck.On(device);
        var (q, k, v) = Leaves(Shape.Of(1, 5, 2, 8), Shape.Of(1, 5, 1, 8));
        var once = Run();
        var twice = Run();
        for (var i = 0; i < once.Length; i++)
            Assert.Equal(2 * once[i], twice[i], 1e-5f);

        float[] Run()
        {
            using var inner = TensorScope.Begin();
            var y = q.Attention(k, v, new AttentionOptions { Scale = 0.3f, Causal = true });
            y.Backward(GradientCheck.Leaf(9, y.Shape, requiresGrad: false));
            return [.. q.Grad!.ToArray(), .. k.Grad!.ToArray(), .. v.Grad!.ToArray()];
        }
    }

    // Of eight bits, probabilities, result and gradient lose the last: 2^-8 of values about one, several times over.
    [Fact]
    public void Bf16_IsNearF32()
    {
        using var scope = OpCheck.On("emulator");
        var options = new AttentionOptions { Scale = 0.2f, Causal = true, KeyLengths = OpCheck.Ids(20, 13) };
        Tensor[] half = [Half(1, 2, 20, 4, 24), Half(2, 2, 20, 2, 24), Half(3, 2, 20, 2, 24)];
        var seed = Half(4, 2, 20, 4, 24);
        seed.RequiresGrad = false;
        var single = Array.ConvertAll(half, x =>
        {
            var leaf = Tensor.From(Widen(x), x.Shape);
            leaf.RequiresGrad = true;
            return leaf;
        });
        var y = half[0].Attention(half[1], half[2], options);
        y.Backward(seed);
        var expected = single[0].Attention(single[1], single[2], options);
        expected.Backward(Tensor.From(Widen(seed), seed.Shape));
        Assert.Equal(DType.BF16, y.DType);
        Near(expected, y);
        for (var i = 0; i < 3; i++)
            Near(single[i].Grad!, half[i].Grad!);

        static Tensor Half(int seed, params ReadOnlySpan<int> dims) => OpCheck.Bf16Leaf(seed, dims);

        static void Near(Tensor expected, Tensor actual)
        {
            float[] wanted = expected.ToArray(), got = Widen(actual);
            for (var i = 0; i < wanted.Length; i++)
                Assert.Equal(wanted[i], got[i], 0.03f * (1 + Math.Abs(wanted[i])));
        }
    }

    [Theory, OnDevices]
    public void Composed_GivesTheSame(string device)
    {
        using var scope = OpCheck.On(device);
        var (q, k, v) = Leaves(Shape.Of(1, 5, 1, 8), Shape.Of(1, 5, 1, 8));
        var fused = q.Attention(k, v, new AttentionOptions { Scale = 0.5f }).ToArray();
        float[] x = q.ToArray(), y = k.ToArray(), z = v.ToArray();
        using var host = TestDevice.Use("cpu");
        var (flat, scores) = (Shape.Of(5, 8), Tensor.From(x, Shape.Of(5, 8)));
        var p = scores.MatMul(Tensor.From(y, flat), transposeB: true).Scale(0.5f).Softmax();
        var composed = p.MatMul(Tensor.From(z, flat)).ToArray();
        for (var i = 0; i < 40; i++)
            Assert.Equal(composed[i], fused[i], 1e-5f);
    }

    [Theory, OnDevices]
    public void CacheWithRoom_GivesTheSameAsExactKeys(string device)
    {
        using var scope = OpCheck.On(device);
        using var mode = GradMode.NoGrad();
        var (q, k, v) = Leaves(Shape.Of(2, 1, 2, 8), Shape.Of(2, 9, 1, 8));
        var exact = q.Attention(First(k, 4), First(v, 4), new AttentionOptions { Scale = 0.3f, Causal = true });
        var cached = q.Attention(k, v, new AttentionOptions { Scale = 0.3f, Causal = true, KeyCount = 4 });
        Assert.Equal(exact.ToArray(), cached.ToArray());

        // The first keys of both sequences.
        static Tensor First(Tensor x, int count)
        {
            var values = x.ToArray();
            float[] first = [.. values.AsSpan(0, count * 8), .. values.AsSpan(9 * 8, count * 8)];
            return Tensor.From(first, Shape.Of(2, count, 1, 8));
        }
    }

    // What no query can see, or a query that sees nothing.
    [Theory, OnDevices]
    public void NothingToSee_GivesZeros(string device)
    {
        using var scope = OpCheck.On(device);
        var (q, k, v) = Leaves(Shape.Of(1, 3, 2, 8), Shape.Of(1, 4, 1, 8));
        var y = q.Attention(k, v, new AttentionOptions { Scale = 0.3f, Causal = true, KeyLengths = OpCheck.Ids(0) });
        y.Backward(GradientCheck.Leaf(9, y.Shape, requiresGrad: false));
        Assert.All([.. y.ToArray(), .. q.Grad!.ToArray(), .. k.Grad!.ToArray()], value => Assert.Equal(0, value));
        Assert.All(v.Grad!.ToArray(), value => Assert.Equal(0, value));
    }

    // A query that is NaN, and none but it, is NaN afterwards: a run that diverged is not hidden.
    [Theory, OnDevices]
    public void NaN_IsNotHidden(string device)
    {
        using var scope = OpCheck.On(device);
        var deviceNaN = BitConverter.UInt32BitsToSingle(0x7FFFFFFF); // what CUDA writes
        foreach (var (queries, nan) in ((int, float)[])[(1, float.NaN), (4, float.NaN), (1, deviceNaN), (4, deviceNaN)])
        {
            var values = Enumerable.Range(0, queries * 2 * 8).Select(i => MathF.Sin(i)).ToArray();
            Array.Fill(values, nan, (queries - 1) * 16 + 8, 8); // the last query's second head
            var q = Tensor.From(values, Shape.Of(1, queries, 2, 8));
            var k = GradientCheck.Leaf(3, Shape.Of(1, 4, 1, 8), requiresGrad: false);
            var y = q.Attention(k, k, new AttentionOptions { Scale = 0.3f, Causal = true }).ToArray();
            Assert.All(y[..^8], value => Assert.True(float.IsFinite(value)));
            Assert.All(y[^8..], value => Assert.True(float.IsNaN(value), $"{value}"));
        }
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

    private static (Tensor Q, Tensor K, Tensor V) Leaves(Shape queries, Shape keys) => (
        GradientCheck.Leaf(1, queries, name: "q"), GradientCheck.Leaf(2, keys, name: "k"),
        GradientCheck.Leaf(3, keys, name: "v"));

    private static float[] Widen(Tensor x)
    {
        var halves = new ushort[x.Count];
        x.CopyTo(halves.AsSpan());
        return Array.ConvertAll(halves, half => BitConverter.UInt32BitsToSingle((uint)half << 16));
    }
}
