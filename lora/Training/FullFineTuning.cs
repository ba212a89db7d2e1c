using CudaLora.Engine;

namespace CudaLora.Lora;

/// <summary>Trains every parameter of the model: the baseline, and how a model is made from nothing.</summary>
public sealed class FullFineTuning : IFineTuning
{
    /// <summary>Makes all parameters of <paramref name="model"/> trainable.</summary>
    /// <exception cref="UserErrorException">The model has 4-bit layers.</exception>
    public FullFineTuning(CausalLM model)
    {
        if (model.Quantization is not null)
            throw new UserErrorException(
                "full training needs weights of floats, but the model is 4-bit: train an adapter (--method lora)");
        Model = model;
        model.SetTrainable(true);
    }

    /// <inheritdoc/>
    public string Method => "full";

    /// <inheritdoc/>
    public CausalLM Model { get; }

    /// <inheritdoc/>
    public long AddedParameters => 0;

    /// <inheritdoc/>
    public bool SavesModel => true;

    /// <inheritdoc/>
    public IReadOnlyList<ParameterGroup> Groups(TrainingArguments arguments) =>
        WeightDecay.Split(Model.Parameters(), arguments);

    /// <inheritdoc/>
    public void Save(string folder) => Model.Save(folder);

    /// <inheritdoc/>
    public void Restore(string folder) => Model.Restore(folder);
}
