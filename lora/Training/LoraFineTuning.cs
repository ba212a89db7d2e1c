using CudaLora.Engine;

namespace CudaLora.Lora;

/// <summary>Trains a LoRA adapter; the base stays frozen.</summary>
/// <param name="adapter">The adapter, active on its model.</param>
public sealed class LoraFineTuning(LoraAdapter adapter) : IFineTuning
{
    /// <inheritdoc/>
    public string Method => adapter.Model.Quantization is null ? "lora" : "qlora";

    /// <inheritdoc/>
    public CausalLM Model => adapter.Model;

    /// <summary>The adapter that trains.</summary>
    public LoraAdapter Adapter => adapter;

    /// <inheritdoc/>
    public long AddedParameters => adapter.AddedParameters;

    /// <inheritdoc/>
    public IReadOnlyList<ParameterGroup> Groups(TrainingArguments arguments) =>
        WeightDecay.Split(adapter.TrainableParameters(), arguments);

    /// <inheritdoc/>
    public void Save(string folder) => adapter.Save(folder);

    /// <inheritdoc/>
    public void Restore(string folder) => adapter.Restore(folder);
}
