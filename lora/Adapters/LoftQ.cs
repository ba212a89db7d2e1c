using CudaLora.Engine;
using CudaLora.Kernels.Simd;

namespace CudaLora.Lora;

/// <summary>
/// LoftQ (Li et al. 2023, arXiv 2310.08659): the adapter of a 4-bit base begins as the best low-rank correction of what
/// quantising took away, W ≈ Q + s B A.
/// </summary>
public static class LoftQ
{
    /// <summary>
    /// Sets A and B of every layer of <paramref name="adapter"/>. The first iteration leaves the codes as they are;
    /// each
    /// further one quantises W - s B A again, so that the base is no longer that of the folder and must be saved.
    /// </summary>
    /// <param name="adapter">A new adapter on a 4-bit model.</param>
    /// <param name="folder">The model folder with the weights before quantisation, read one layer at a time.</param>
    /// <param name="random">Where the search starts.</param>
    /// <param name="iterations">Rounds of quantising and correcting.</param>
    /// <returns>The error of each layer, without and with the correction.</returns>
    /// <exception cref="UserErrorException">A layer is not 4-bit, or the folder is 4-bit itself.</exception>
    public static IReadOnlyList<(QuantizationError Before, QuantizationError After)> Initialize(
        LoraAdapter adapter, string folder, Generator random, int iterations = 1)
    {
        ArgumentOutOfRangeException.ThrowIfLessThan(iterations, 1);
        var config = adapter.Model.Config;
        using var weights = SafetensorsSet.Open(folder);
        var source = new SafetensorsParameters(weights, name => ModelKeys.Find(name, config, weights));
        var errors = new List<(QuantizationError, QuantizationError)>();
        foreach (var layer in adapter.Layers)
        {
            var path = layer.Linear.Path / "weight";
            if (layer.Linear.Quantized is null)
                throw new UserErrorException(
                    $"LoftQ corrects 4-bit layers, but {path} is not: give --quantize nf4, or leave it out of the targets");
            if (ModelKeys.Find(path.Value, config, weights) is { } key && QuantizedTensorFiles.Holds(weights, key))
                throw new UserErrorException(
                    $"{folder}: LoftQ needs the weights before quantisation, but {path} is 4-bit there");
            using var original = source.Get(
                path, layer.Linear.Quantized.Shape, Initializer.Zeros, layer.Linear.IsConv1D);
            errors.Add(Correct(layer, original, random, iterations));
        }
        return errors;
    }

    private static (QuantizationError Before, QuantizationError After) Correct(
        LoraLinear layer, Tensor original, Generator random, int iterations)
    {
        var linear = layer.Linear;
        using var a = Tensor.Owned(layer.A.Value.Shape, device: Device.Cpu);
        using var b = Tensor.Owned(layer.B.Value.Shape, device: Device.Cpu);
        a.Clear();
        b.Clear();
        var before = Error(linear.Quantized!, original, a, b);
        using var rest = Tensor.Owned(original.Shape, device: Device.Cpu);
        for (var i = 0; i < iterations; i++)
        {
            if (i > 0)
            {
                Subtract(original, a, b, rest);
                using var made = QuantizedTensor.Quantize(rest, linear.Quantized!.Options, linear.Quantized.Name);
                linear.Requantize(made.To(linear.Device));
            }
            Residual(linear.Quantized!, original, rest);
            LowRank.Factor(rest, a, b, random);
        }
        var after = Error(linear.Quantized!, original, a, b);
        // The forward pass multiplies by s.
        var share = 1 / MathF.Sqrt(layer.Scale);
        foreach (var (value, target) in (ReadOnlySpan<(Tensor, Tensor)>)[(a, layer.A.Value), (b, layer.B.Value)])
        {
            foreach (ref var v in value.Span<float>())
                v *= share;
            target.Put(value);
        }
        return (before, after);
    }

    // rest = W - B A.
    private static unsafe void Subtract(Tensor original, Tensor a, Tensor b, Tensor rest)
    {
        rest.CopyFrom(original);
        var (n, k, r) = (rest.Shape[0], rest.Shape[1], a.Shape[0]);
        Gemm.Run(
            false, false, n, k, r, -1, b.Pointer<float>(), r, a.Pointer<float>(), k, 1, rest.Pointer<float>(), k);
    }

    // rest = W - Q.
    private static unsafe void Residual(QuantizedTensor codes, Tensor original, Tensor rest)
    {
        OnHost(codes, host => host.Dequantize(rest));
        VectorOps.Axpby(1, original.Pointer<float>(), -1, rest.Pointer<float>(), rest.Count);
    }

    private static QuantizationError Error(QuantizedTensor codes, Tensor original, Tensor a, Tensor b)
    {
        using var target = Tensor.Owned(original.Shape, device: Device.Cpu);
        Subtract(original, a, b, target);
        var error = default(QuantizationError);
        OnHost(codes, host => error = host.ErrorFrom(target));
        // Relative to W itself, not to what is left of it.
        var norm = Norm(original);
        return error with { Relative = norm == 0 ? 0 : error.Relative * Norm(target) / norm };
    }

    private static unsafe double Norm(Tensor values) =>
        Math.Sqrt(SumKernel.Squares(values.Pointer<float>(), values.Count));

    private static void OnHost(QuantizedTensor codes, Action<QuantizedTensor> use)
    {
        if (codes.Device.Kind == DeviceKind.Cpu)
        {
            use(codes);
            return;
        }
        using var host = codes.To(Device.Cpu);
        use(host);
    }
}
