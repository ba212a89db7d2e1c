using CudaLora.Engine;

namespace CudaLora.Lora;

/// <summary>First values of A and B (PEFT's <c>init_lora_weights</c>).</summary>
internal static class LoraInitializers
{
    /// <summary>
    /// A (r, in) and B (out, r) for a layer, F32 on its device, outside any scope. <c>FromBase</c> says that they are a
    /// part of the base weight, which the layer then has to leave out.
    /// </summary>
    public static (Tensor A, Tensor B, bool FromBase) Draw(
        LoraConfig config, int rank, double scale, Linear linear, Generator random)
    {
        var (n, k) = (linear.OutFeatures, linear.InFeatures);
        var (a, b) = config.InitLoraWeights switch
        {
            LoraInit.Gaussian => (Initializer.Normal(1f / rank), Initializer.Zeros),
            LoraInit.Random => (Initializer.KaimingUniform(k), Initializer.KaimingUniform(rank)),
            LoraInit.BothGaussian => (Initializer.Normal(1f / rank), Initializer.Normal(1f / rank)),
            LoraInit.BothZero => (Initializer.Zeros, Initializer.Zeros),
            LoraInit.ZeroA => (Initializer.Zeros, Initializer.Normal(1f / rank)),
            _ => (Initializer.KaimingUniform(k), Initializer.Zeros),
        };
        var source = new DeviceParameters(new RandomParameters(random), linear.Device, DType.F32);
        var made = (
            A: source.Get(default, Shape.Of(rank, k), a), B: source.Get(default, Shape.Of(n, rank), b),
            FromBase: false);
        using var scope = TensorScope.Begin();
        try
        {
            var computed = config.InitLoraWeights switch
            {
                LoraInit.Orthogonal => Orthogonal(rank, k, n, random),
                LoraInit.Pissa => Pissa(linear, rank, scale, config.PissaIterations, random),
                LoraInit.Olora => Olora(linear, rank),
                _ => default,
            };
            if (computed.A is null)
                return made;
            made.A.Put(computed.A);
            made.B.Put(computed.B);
        }
        catch
        {
            made.A.Dispose();
            made.B.Dispose();
            throw;
        }
        return made with { FromBase = config.InitLoraWeights != LoraInit.Orthogonal };
    }

    /// <summary>The layer's weight (out, in) as floats on the CPU, in the current scope.</summary>
    public static Tensor BaseWeight(Linear linear)
    {
        var copy = Tensor.Empty(Shape.Of(linear.OutFeatures, linear.InFeatures), device: Device.Cpu);
        if (linear.Quantized is { } codes)
        {
            using var values = codes.Dequantize();
            copy.CopyFrom(values);
            return copy;
        }
        linear.Weight.Value.CopyTo(copy.Span<float>());
        return copy;
    }

    // Rows of a random orthogonal matrix, every other one for A and for B: B A is a product with Q_even Q_oddᵀ = 0.
    private static (Tensor A, Tensor B) Orthogonal(int rank, int inFeatures, int outFeatures, Generator random)
    {
        if (rank % 2 != 0)
            throw new UserErrorException($"init_lora_weights orthogonal needs an even r, but r is {rank}");
        var rows = QrDecomposition.Of(Normal(rank, rank, random)).Q.Reshape(Shape.Of(rank / 2, 2, rank));
        var odd = rows.Slice(1, 0, 1).Reshape(Shape.Of(rank / 2, rank)); // as PEFT calls rows 0, 2, 4 ...
        var even = rows.Slice(1, 1, 1).Reshape(Shape.Of(rank / 2, rank));
        var a = odd.MatMul(Normal(inFeatures, rank / 2, random), transposeA: true, transposeB: true);
        var b = Normal(rank / 2, outFeatures, random).MatMul(even, transposeA: true);
        return (a.Scale(0.1f), b.Scale(0.1f));
    }

    // A = √(Σ / s) Vᵀ, B = U √(Σ / s), of the r largest.
    private static (Tensor A, Tensor B) Pissa(Linear linear, int rank, double scale, int iterations, Generator random)
    {
        RequireRank("pissa", linear, rank);
        var weight = BaseWeight(linear);
        if (iterations > 0)
        {
            var (a, b) = (
                Tensor.Empty(Shape.Of(rank, linear.InFeatures), device: Device.Cpu),
                Tensor.Empty(Shape.Of(linear.OutFeatures, rank), device: Device.Cpu));
            LowRank.Factor(weight, a, b, random, iterations);
            var share = (float)(1 / Math.Sqrt(scale));
            return (a.Scale(share), b.Scale(share));
        }
        var svd = SingularValues.Of(weight);
        var roots = Tensor.From(
            [.. svd.Values.Take(rank).Select(value => (float)Math.Sqrt(value / scale))], Shape.Of(rank));
        return (
            svd.V.Slice(1, 0, rank).Mul(roots).Transpose(0, 1), svd.U.Slice(1, 0, rank).Mul(roots));
    }

    private static (Tensor A, Tensor B) Olora(Linear linear, int rank)
    {
        RequireRank("olora", linear, rank);
        var qr = QrDecomposition.Of(BaseWeight(linear));
        return (qr.R.Slice(0, 0, rank), qr.Q.Slice(1, 0, rank));
    }

    private static Tensor Normal(int rows, int columns, Generator random)
    {
        var values = Tensor.Empty(Shape.Of(rows, columns), device: Device.Cpu);
        RandomParameters.Fill(values, Initializer.Normal(1), random);
        return values;
    }

    private static void RequireRank(string init, Linear linear, int rank)
    {
        var most = Math.Min(linear.InFeatures, linear.OutFeatures);
        if (rank > most)
            throw new UserErrorException(
                $"init_lora_weights {init} needs r of at most {most} on {linear.Path}, but r is {rank}");
    }
}
