using CudaLora.Engine;
using CudaLora.Lora;

namespace CudaLora.Cli;

/// <summary>What a model folder holds, from its headers: weights of floats and weights of 4 bits.</summary>
/// <param name="Floats">Name and number of values of each tensor of floats.</param>
/// <param name="Codes">Name, number of weights and kind of each 4-bit weight.</param>
/// <param name="FileBytes">Bytes of all tensors in the files.</param>
internal sealed record WeightSizes(
    IReadOnlyList<(string Name, int Rank, long Count)> Floats,
    IReadOnlyList<(string Name, long Count, QuantizationOptions Options)> Codes, long FileBytes)
{
    // The embeddings and the output layer.
    private static readonly string[] NotLinear =
        ["embed_tokens.weight", "lm_head.weight", "wte.weight", "wpe.weight"];

    /// <summary>Values of both kinds.</summary>
    public long Parameters => Floats.Sum(f => f.Count) + Codes.Sum(c => c.Count);

    public static WeightSizes Of(SafetensorsSet weights)
    {
        var floats = new List<(string, int, long)>();
        var codes = new List<(string, long, QuantizationOptions)>();
        foreach (var (name, (_, entry)) in weights.Tensors)
        {
            if (QuantizedTensorFiles.IsPart(name)) continue;
            if (QuantizedTensorFiles.Holds(weights, name))
            {
                var (shape, options) = QuantizedTensorFiles.Describe(weights, name);
                codes.Add((name, shape.Count, options));
            }
            else
            {
                floats.Add((name, entry.Shape.Count, entry.Count));
            }
        }
        return new WeightSizes(floats, codes, weights.Tensors.Values.Sum(t => t.Entry.ByteCount));
    }

    /// <summary>Bytes of each tensor in memory.</summary>
    /// <param name="matrices">Type of matrices of floats: F32, or BF16 on a CUDA device where they are frozen.</param>
    /// <param name="options">What the linear layers are made on load, or null.</param>
    public IEnumerable<long> InMemory(DType matrices, QuantizationOptions? options = null) => Floats
        .SelectMany(f => options is not null && IsLinear(f)
            ? options.PartBytes(f.Count)
            : [f.Count * (f.Rank > 1 ? matrices : DType.F32).Size()])
        .Concat(Codes.SelectMany(c => c.Options.PartBytes(c.Count)));

    /// <summary>The error of every 4-bit weight against the folder it was made from.</summary>
    public static IReadOnlyList<QuantizationError> Errors(SafetensorsSet weights, string original, ModelConfig config)
    {
        using var before = SafetensorsSet.Open(original);
        var errors = new List<QuantizationError>();
        foreach (var name in weights.Tensors.Keys.Where(n => QuantizedTensorFiles.Holds(weights, n))
            .Order(NaturalOrder.Comparer))
        {
            using var codes = QuantizedTensorFiles.Read(weights, name);
            if (!before.Tensors.TryGetValue(name, out var found) || found.Entry.Count != codes.Count)
                throw new UserErrorException(
                    $"{original}: must be what the 4-bit model was made from, but has no {name} of {codes.Shape}");
            var turned = config.Family == ModelFamily.Gpt2;
            var source = new SafetensorsParameters(before);
            using var values = source.Get(new ParameterPath(name), codes.Shape, Initializer.Zeros, turned);
            errors.Add(codes.ErrorFrom(values));
        }
        return errors;
    }

    private static bool IsLinear((string Name, int Rank, long Count) tensor) =>
        tensor.Rank == 2 && !NotLinear.Any(end => tensor.Name.EndsWith(end, StringComparison.Ordinal));
}
