using CudaLora.Engine;
using CudaLora.Kernels.Emulator;
using CudaLora.Kernels.Runtime;

namespace CudaLora.Tests.Ops;

public class CacheAppendTests
{
    // Row 0 starts empty, row 1 has room for one token of two, row 2 is full.
    [Theory, OnDevices]
    public void TokensGoAfterWhatEachRowHolds(string device)
    {
        using var scope = OpCheck.On(device);
        var keys = Tensor.Zeros(Shape.Of(3, 4, 2, 3));
        var values = Tensor.Zeros(Shape.Of(3, 4, 2, 3));
        var k = GradientCheck.Leaf(1, Shape.Of(3, 2, 2, 3), requiresGrad: false);
        var v = GradientCheck.Leaf(2, Shape.Of(3, 2, 2, 3), requiresGrad: false);

        keys.CacheAppend(values, k, v, OpCheck.Ids(0, 3, 4));

        foreach (var (cache, from) in new[] { (keys, k), (values, v) })
        {
            var expected = new float[3 * 4 * 6];
            from.ToArray().AsSpan(0, 12).CopyTo(expected);
            from.ToArray().AsSpan(12, 6).CopyTo(expected.AsSpan((4 + 3) * 6));
            Assert.Equal(expected, cache.ToArray());
        }
    }

    [Theory, OnDevices]
    public void AttentionOverTheCache_IsThatOverAllTokens(string device)
    {
        using var scope = OpCheck.On(device);
        var q = GradientCheck.Leaf(1, Shape.Of(1, 5, 2, 8), requiresGrad: false);
        var k = GradientCheck.Leaf(2, Shape.Of(1, 5, 1, 8), requiresGrad: false);
        var v = GradientCheck.Leaf(3, Shape.Of(1, 5, 1, 8), requiresGrad: false);
        var whole = q.Attention(k, v, new AttentionOptions { Scale = 0.3f, Causal = true }).ToArray();
        var (keys, values) = (Tensor.Zeros(Shape.Of(1, 7, 1, 8)), Tensor.Zeros(Shape.Of(1, 7, 1, 8)));
        for (var t = 0; t < 5; t++)
        {
            var start = OpCheck.Ids(t);
            keys.CacheAppend(values, Token(k, t), Token(v, t), start);
            var y = Token(q, t).Attention(keys, values, new AttentionOptions
            {
                Scale = 0.3f,
                Causal = true,
                KeyCount = 7,
                KeyLengths = OpCheck.Ids(t + 1),
                QueryStarts = start,
            });
            // The same sums, but a long row adds up in another order.
            Assert.Equal(whole.AsSpan(t * 16, 16).ToArray(), y.ToArray(), (a, b) => Math.Abs(a - b) < 1e-6f);
        }

        static Tensor Token(Tensor x, int t)
        {
            var width = x.Shape[2] * x.Shape[3];
            return Tensor.From(x.ToArray().AsSpan(t * width, width), Shape.Of(1, 1, x.Shape[2], x.Shape[3]));
        }
    }

    // 150 slots are divided among blocks; the graph must read where each step stands when it runs.
    [Fact]
    public void ACapturedDecodeStep_FollowsWhatTheRowsHold()
    {
        const int Room = 150, Steps = 4;
        using var driver = new EmulatedDriver();
        using var device = new CudaDevice(driver);
        using var graphs = new GraphCache(device);
        using var inputs = new InputSet(device);
        using var noGrad = GradMode.NoGrad();
        Assert.Equal(Decode(work => work()), Decode(work => graphs.Run(inputs.Key, work, null)));
        Assert.Equal(1, graphs.Count);

        float[] Decode(Action<Action> run)
        {
            using var keys = Tensor.Owned(Shape.Of(2, Room, 1, 8), device: device);
            using var values = Tensor.Owned(Shape.Of(2, Room, 1, 8), device: device);
            using var y = Tensor.Owned(Shape.Of(2, 1, 2, 8), device: device);
            keys.Clear();
            values.Clear();
            var outputs = new List<float>();
            for (var step = 0; step < Steps; step++)
            {
                inputs.Begin();
                inputs.Set("starts", [step, 100 + step], Shape.Of(2));
                inputs.Set("lengths", [step + 1, 101 + step], Shape.Of(2));
                inputs.Set("q", GradientCheck.Values(step, Shape.Of(2, 1, 2, 8)), Shape.Of(2, 1, 2, 8));
                inputs.Set("k", GradientCheck.Values(step + 9, Shape.Of(2, 1, 1, 8)), Shape.Of(2, 1, 1, 8));
                inputs.Commit();
                run(() =>
                {
                    using var scope = TensorScope.Begin();
                    keys.CacheAppend(values, inputs["k"], inputs["k"], inputs["starts"]);
                    var attended = inputs["q"].Attention(keys, values, new AttentionOptions
                    {
                        Scale = 0.4f,
                        Causal = true,
                        KeyCount = Room,
                        KeyLengths = inputs["lengths"],
                        QueryStarts = inputs["starts"],
                    });
                    device.Stream.Copy(
                        new DevicePointer<float>(attended.DeviceAddress), new DevicePointer<float>(y.DeviceAddress),
                        y.Count);
                });
                inputs.Used();
                outputs.AddRange(y.ToArray());
            }
            return [.. outputs];
        }
    }

    [Fact]
    public void WrongArguments_AreNamed()
    {
        using var scope = TensorScope.Begin();
        Tensor cache = Tensor.Zeros(Shape.Of(1, 4, 2, 3)), k = Tensor.Zeros(Shape.Of(1, 2, 3, 3));
        OpCheck.Refused(
            "[cache_append] keys, values must be (B, capacity, G, D) and k, v (B, T, G, D), but got " +
            "keys (1, 4, 2, 3), values (1, 4, 2, 3), k (1, 2, 3, 3), v (1, 2, 3, 3)",
            () => cache.CacheAppend(cache, k, k, OpCheck.Ids(0)));
        OpCheck.Refused(
            "[cache_append] starts must be 1 I32 values, but got I32 (2)",
            () => cache.CacheAppend(cache, cache, cache, OpCheck.Ids(0, 1)));
        var leaf = GradientCheck.Leaf(1, Shape.Of(1, 2, 2, 3));
        OpCheck.Refused(
            "[cache_append] k and v must not require a gradient",
            () => cache.CacheAppend(cache, leaf, leaf, OpCheck.Ids(0)));
    }
}
