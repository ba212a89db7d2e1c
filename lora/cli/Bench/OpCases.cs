using CudaLora.Engine;

namespace CudaLora.Cli;

/// <summary>Ops of the engine: forward without a graph, and forward with backward.</summary>
internal static class OpCases
{
    /// <summary>LoRA layers over a frozen weight in floats and in four bits.</summary>
    public static IEnumerable<BenchCase> Layers(int shrink)
    {
        var (width, rank) = (1024 / shrink, Math.Max(1, 16 / shrink));
        foreach (var rows in (int[])[512 / shrink, 1])
        {
            double whole = 2.0 * rows * width * width, thin = 2.0 * rows * rank * 2 * width;
            double weights = (double)width * (width + (2 * rank)), ends = 2.0 * rows * width;
            var name = $"{rows} tokens, {width} x {width}, r {rank}";
            BenchWork Work(bool backward)
            {
                Tensor x = Random(1, Shape.Of(rows, width), true), w = Random(2, Shape.Of(width, width), false);
                Tensor a = Random(3, Shape.Of(rank, width), true), b = Random(4, Shape.Of(width, rank), true);
                return Make(() => x.LoraLinear(w, null, a, b, 2), backward, x, a, b, w);
            }
            yield return new BenchCase(
                "LoRA linear", $"forward, {name}", 4 * (weights + ends), whole + thin, () => Work(false));
            // Backward reads the weights and x, dy again and writes dx; A and B get gradients.
            yield return new BenchCase(
                "LoRA linear", $"forward and backward, {name}",
                4 * ((2 * weights) + (2 * ends) + ((double)rows * width) + (2.0 * rank * width)),
                (2 * whole) + (3 * thin), () => Work(true));
        }
        yield return Nf4(4096 / shrink);
    }

    /// <summary>What works row by row.</summary>
    public static IEnumerable<BenchCase> Rows(int shrink)
    {
        var shape = Shape.Of(2048 / shrink, 1024 / shrink);
        return [
            .. Pair("RMS norm", shape, (2, 4), (4, 10), (x, _, w) => x.RmsNorm(w, 1e-6f)),
            .. Pair("layer norm", shape, (2, 4), (7, 14), (x, _, w) => x.LayerNorm(w, null, 1e-5f)),
            .. Pair("softmax", shape, (2, 3), (5, 4), (x, _, _) => x.Softmax()),
            .. Pair("SiLU", shape, (2, 3), (5, 8), (x, _, _) => x.Silu()),
            .. Pair("SwiGLU", shape, (3, 5), (6, 12), (x, z, _) => x.Swiglu(z)),
        ];
    }

    public static IEnumerable<BenchCase> Attention(int shrink)
    {
        var (batch, tokens, heads, size) = (4, 256 / shrink, 8, 32);
        var count = (double)batch * tokens * heads * size;
        // Two products forward and five backward, of the half that the mask leaves.
        var product = 2.0 * batch * heads * size * tokens * (tokens + 1) / 2;
        var name = $"causal, {batch} x {tokens} tokens, {heads} heads of {size}";
        BenchWork Work(bool backward)
        {
            var shape = Shape.Of(batch, tokens, heads, size);
            Tensor q = Random(1, shape, true), k = Random(2, shape, true), v = Random(3, shape, true);
            var options = new AttentionOptions { Scale = 1 / MathF.Sqrt(size), Causal = true };
            return Make(() => q.Attention(k, v, options), backward, q, k, v);
        }
        yield return new BenchCase("attention", $"forward, {name}", 16 * count, 2 * product, () => Work(false));
        yield return new BenchCase(
            "attention", $"forward and backward, {name}", 48 * count, 7 * product, () => Work(true));
    }

    private static BenchCase Nf4(int width)
    {
        var weights = (double)width * width;
        var bytes = (weights * (0.5 + (1 / 64.0))) + (8.0 * width);
        return new BenchCase("LoRA linear", $"NF4 base alone, 1 token, {width} x {width}", bytes, 2 * weights, () =>
        {
            var x = Random(1, Shape.Of(1, width), false);
            using var values = Random(2, Shape.Of(width, width), false);
            var w = QuantizedTensor.Quantize(values, new QuantizationOptions { DoubleQuant = true }, "bench");
            return new BenchWork(
                () =>
                {
                    using var scope = TensorScope.Begin();
                    using var mode = GradMode.NoGrad();
                    x.QuantizedLinear(w);
                },
                x, w);
        });
    }

    // Tensors moved and operations per element, forward and backward each.
    private static IEnumerable<BenchCase> Pair(
        string name, Shape shape, (int Forward, int Backward) moved, (int Forward, int Backward) operations,
        Func<Tensor, Tensor, Tensor, Tensor> apply)
    {
        double count = shape.Count;
        BenchWork Work(bool backward)
        {
            Tensor x = Random(1, shape, true), z = Random(2, shape, true), w = Random(3, Shape.Of(shape[1]), false);
            return Make(() => apply(x, z, w), backward, x, z, w);
        }
        yield return new BenchCase(
            "rows", $"{name} forward, {shape[0]} x {shape[1]}", 4 * count * moved.Forward,
            count * operations.Forward, () => Work(false));
        yield return new BenchCase(
            "rows", $"{name} forward and backward, {shape[0]} x {shape[1]}",
            4 * count * (moved.Forward + moved.Backward), count * (operations.Forward + operations.Backward),
            () => Work(true));
    }

    private static BenchWork Make(Func<Tensor> apply, bool backward, params Tensor[] inputs)
    {
        if (!backward)
            return new BenchWork(
                () =>
                {
                    using var scope = TensorScope.Begin();
                    using var mode = GradMode.NoGrad();
                    apply();
                },
                inputs);
        Shape result;
        using (TensorScope.Begin()) result = apply().Shape;
        var seed = Random(9, result, false);
        return new BenchWork(
            () =>
            {
                foreach (var input in inputs)
                {
                    if (input.RequiresGrad) input.ZeroGrad();
                }
                using var scope = TensorScope.Begin();
                apply().Backward(seed);
            },
            [.. inputs, seed]);
    }

    // Uniform in [-0.5, 0.5).
    private static Tensor Random(int seed, Shape shape, bool trainable)
    {
        var random = new Random(seed);
        var tensor = Tensor.Empty(shape);
        foreach (ref var value in tensor.Span<float>()) value = random.NextSingle() - 0.5f;
        tensor.RequiresGrad = trainable;
        return tensor;
    }
}
