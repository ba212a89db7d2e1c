using CudaLora.Kernels.Simd;

namespace CudaLora.Engine;

/// <summary>
/// Fills every parameter by its initializer. The values depend on the seed and the order of asking only.
/// </summary>
/// <param name="random">Generator the values are drawn from.</param>
public sealed unsafe class RandomParameters(Generator random) : ParameterSource
{
    /// <inheritdoc/>
    public override bool Has(ParameterPath path) => false;

    /// <inheritdoc/>
    public override Tensor Get(
        ParameterPath path, Shape shape, Initializer initializer, bool storedTransposed = false)
    {
        var tensor = Tensor.Unscoped(shape, DType.F32, Device.Cpu);
        Fill(tensor, initializer, random);
        return tensor;
    }

    /// <summary>Overwrites <paramref name="tensor"/> (F32) with draws from <paramref name="random"/>.</summary>
    public static void Fill(Tensor tensor, Initializer initializer, Generator random)
    {
        Tensor.RequireF32("fill", tensor);
        var value = initializer.Value;
        switch (initializer.Kind)
        {
            case InitializerKind.Normal:
                RandomFill.Normal(tensor.Pointer<float>(), tensor.Count, 0, value, random.Seed, random.Take(1));
                break;
            case InitializerKind.Uniform:
                RandomFill.Uniform(tensor.Pointer<float>(), tensor.Count, -value, value, random.Seed, random.Take(1));
                break;
            default:
                tensor.Span<float>().Fill(value);
                break;
        }
    }
}
