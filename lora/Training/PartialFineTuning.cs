using CudaLora.Engine;

namespace CudaLora.Lora;

/// <summary>Trains some of the model's own parameters; the result is a model folder.</summary>
public sealed class PartialFineTuning : IFineTuning
{
    private readonly Parameter[] trained;

    private PartialFineTuning(CausalLM model, string method, IEnumerable<Parameter> parameters)
    {
        if (model.Quantization is not null)
            throw new UserErrorException(
                $"{method} needs weights of floats, but the model is 4-bit: train an adapter (--method lora)");
        (Model, Method, trained) = (model, method, [.. parameters]);
        model.SetTrainable(false);
        foreach (var parameter in trained)
            parameter.Trainable = true;
    }

    /// <inheritdoc/>
    public string Method { get; }

    /// <inheritdoc/>
    public CausalLM Model { get; }

    /// <inheritdoc/>
    public long AddedParameters => 0;

    /// <inheritdoc/>
    public bool SavesModel => true;

    /// <summary>
    /// BitFit (Ben Zaken et al. 2021, arXiv 2106.10199): the biases alone. A Llama or Qwen 3 without any gets biases of
    /// zero on the layers where its config can name them.
    /// </summary>
    /// <exception cref="UserErrorException">The model has no biases and no place for them, or is 4-bit.</exception>
    public static PartialFineTuning BitFit(CausalLM model)
    {
        model.AddBiases();
        var biases = model.Parameters().Where(p => p.Path.Name == "bias").ToArray();
        if (biases.Length == 0)
            throw new UserErrorException(
                $"bitfit trains biases, but a {model.Config.ModelType} model has none: choose another --method");
        return new PartialFineTuning(model, "bitfit", biases);
    }

    /// <summary>The last blocks alone, as in transfer learning before adapters.</summary>
    /// <exception cref="UserErrorException">There are fewer blocks, or the model is 4-bit.</exception>
    public static PartialFineTuning LastLayers(CausalLM model, int count)
    {
        if (count < 1 || count > model.Config.Layers)
            throw new UserErrorException(
                $"--freeze-trainable-layers must be 1 to {model.Config.Layers}, the model's layers, but is {count}");
        return new PartialFineTuning(
            model, "last-layers",
            model.Modules().OfType<TransformerBlock>().TakeLast(count).SelectMany(block => block.Parameters()));
    }

    /// <inheritdoc/>
    public IReadOnlyList<ParameterGroup> Groups(TrainingArguments arguments) => WeightDecay.Split(trained, arguments);

    /// <inheritdoc/>
    public void Save(string folder) => Model.Save(folder);

    /// <inheritdoc/>
    public void Restore(string folder) => Model.Restore(folder);
}
