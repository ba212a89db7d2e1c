using CudaLora.Engine;

namespace CudaLora.Lora;

/// <summary>Trains every parameter of the model: the baseline, and how a model is made from nothing.</summary>
public sealed class FullFineTuning : IFineTuning
{
    /// <summary>Makes all parameters of <paramref name="model"/> trainable.</summary>
    public FullFineTuning(CausalLM model)
    {
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
    public IReadOnlyList<ParameterGroup> Groups(TrainingArguments arguments) =>
        WeightDecay.Split(Model.Parameters(), arguments);

    /// <inheritdoc/>
    public void Save(string folder) => Model.Save(folder);

    /// <inheritdoc/>
    public void Restore(string folder) => Model.Restore(folder);
}
