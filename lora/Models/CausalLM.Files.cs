using CudaLora.Engine;

namespace CudaLora.Lora;

public sealed partial class CausalLM
{
    /// <summary>A model with fresh weights: normal with <c>initializer_range</c>, norms 1, biases 0.</summary>
    /// <param name="config">Its sizes.</param>
    /// <param name="seed">The same seed gives the same weights.</param>
    /// <param name="placement">Device and types; the CPU if null.</param>
    /// <param name="quantization">Makes the linear layers but the output layer 4-bit, one by one.</param>
    public static CausalLM Create(
        ModelConfig config, ulong seed, ModelPlacement? placement = null, QuantizationOptions? quantization = null) =>
        Make(config, Quantizing(new RandomParameters(new Generator(seed)), quantization, null), placement);

    /// <summary>
    /// Loads a Hugging Face model folder: config.json, generation_config.json if there, and model.safetensors or its
    /// shards in F32, F16, BF16 or F64, which become F32, or what the placement says. Layers that bitsandbytes stored
    /// in 4 bits stay so.
    /// </summary>
    /// <param name="folder">The folder.</param>
    /// <param name="placement">Device and types; the CPU if null.</param>
    /// <param name="quantization">Makes the linear layers but the output layer 4-bit, one by one.</param>
    /// <param name="quantized">Told the error of each layer made 4-bit.</param>
    /// <exception cref="UserErrorException">A file is missing or damaged, the architecture is not supported, or the
    /// tensors are not those of the config; names file, field or tensor.</exception>
    public static CausalLM Load(
        string folder, ModelPlacement? placement = null, QuantizationOptions? quantization = null,
        Action<QuantizationError>? quantized = null)
    {
        if (!Directory.Exists(folder)) throw new UserErrorException($"{folder}: the model folder does not exist");
        var config = ModelConfig.Read(System.IO.Path.Combine(folder, "config.json"));
        var generation = GenerationConfig.Read(folder, config);
        using var weights = SafetensorsSet.Open(folder);
        var source = new SafetensorsParameters(weights, name => ModelKeys.Find(name, config, weights));
        if (quantization is not null) quantization = quantization with { ValueType = TypeOf(weights, config) };
        var model = Make(config, Quantizing(source, quantization, quantized), placement);
        try
        {
            model.Generation = generation;
            // The pool has held a layer of floats.
            if (quantization is not null) Device.Cpu.TrimPool();
            if (weights.Tensors.TryGetValue((ScorePath / "weight").Value, out var score)
                && TensorFiles.Matches(score.Entry, Shape.Of(1, config.HiddenSize)))
                model.AddScore(source);
            source.Check(key => ModelKeys.IsIgnorable(key, config));
            return model;
        }
        catch
        {
            model.Dispose();
            throw;
        }
    }

    /// <summary>Overwrites the weights with those of a folder this model was saved to.</summary>
    /// <exception cref="UserErrorException">The folder holds another model; names the tensor.</exception>
    public void Restore(string folder)
    {
        RequireAlive();
        using var weights = SafetensorsSet.Open(folder);
        var source = new SafetensorsParameters(weights, name => ModelKeys.Find(name, Config, weights));
        var turned = StoredTransposed();
        foreach (var parameter in Parameters())
        {
            using var stored = source.Get(
                parameter.Path, parameter.Value.Shape, Initializer.Zeros, turned.Contains(parameter));
            parameter.Value.Put(stored);
        }
    }

    /// <summary>
    /// Saves a normal Hugging Face model folder. Adapters are not part of it unless they are merged. Files of the same
    /// name are replaced, the weights last, each atomically.
    /// </summary>
    /// <param name="folder">Created if missing.</param>
    /// <param name="dtype">F32, BF16 or F16; 4-bit layers stay 4-bit.</param>
    /// <param name="maxShardBytes">Weights above this are split into shards.</param>
    public void Save(
        string folder, SafetensorsDType dtype = SafetensorsDType.F32, long maxShardBytes = 5_000_000_000)
    {
        RequireAlive();
        var writer = new SafetensorsWriter();
        var turned = StoredTransposed();
        foreach (var linear in Linears())
        {
            if (linear.Quantized is { } codes)
                QuantizedTensorFiles.Add(writer, (linear.Path / "weight").Value, codes);
        }
        foreach (var parameter in Parameters())
            writer.Add(parameter.Path.Value, parameter.Value, dtype, turned.Contains(parameter));
        (Score is null ? Config : ModelConfigWriter.AsClassifier(Config)).Write(folder, dtype switch
        {
            SafetensorsDType.BF16 => "bfloat16",
            SafetensorsDType.F16 => "float16",
            _ => "float32",
        }, Quantization);
        Generation.Write(folder);
        writer.SaveFolder(folder, maxShardBytes: maxShardBytes);
    }

    private static CausalLM Make(ModelConfig config, ParameterSource source, ModelPlacement? placement)
    {
        placement ??= new ModelPlacement();
        var parts = new ModelParts(placement.Place(source));
        try
        {
            return new CausalLM(config, parts, placement);
        }
        catch
        {
            parts.Release();
            throw;
        }
    }

    private static ParameterSource Quantizing(
        ParameterSource source, QuantizationOptions? options, Action<QuantizationError>? quantized) =>
        options is null ? source : new QuantizingParameters(source, options, IsQuantizable, quantized);

    // As in transformers, the output layer stays as it is.
    private static bool IsQuantizable(ParameterPath path) => path.Value != ModelKeys.Head;

    // What the values of a model folder are stored as: the readers of 4-bit layers give it back.
    internal static SafetensorsDType TypeOf(SafetensorsSet weights, ModelConfig config) =>
        ModelKeys.Find((ModelKeys.Embedding(config) / "weight").Value, config, weights) is { } key
        && weights.Tensors[key].Entry.DType is SafetensorsDType.BF16 or SafetensorsDType.F16
            ? weights.Tensors[key].Entry.DType
            : SafetensorsDType.F32;

    private HashSet<Parameter> StoredTransposed() =>
        [.. Linears().Where(linear => linear is { IsConv1D: true, Quantized: null }).Select(linear => linear.Weight)];
}
