using CudaLora.Engine;

namespace CudaLora.Lora;

/// <summary>Trains a policy's adapter, and with PPO a value head on the same hidden states.</summary>
/// <param name="adapter">The adapter, active on its model.</param>
/// <param name="head">The value head, or null.</param>
public sealed class PolicyFineTuning(LoraAdapter adapter, ValueHead? head = null) : IFineTuning
{
    /// <inheritdoc/>
    public string Method => adapter.Model.Quantization is null ? "lora" : "qlora";

    /// <inheritdoc/>
    public CausalLM Model => adapter.Model;

    /// <summary>The value head, or null.</summary>
    public ValueHead? Head => head;

    /// <inheritdoc/>
    public long AddedParameters => adapter.AddedParameters + (head?.Parameters().Sum(p => p.Value.Count) ?? 0);

    /// <inheritdoc/>
    public IReadOnlyList<ParameterGroup> Groups(TrainingArguments arguments) =>
        WeightDecay.Split(adapter.TrainableParameters().Concat(head?.Parameters() ?? []), arguments);

    /// <inheritdoc/>
    public void Save(string folder)
    {
        adapter.Save(folder);
        head?.Save(folder);
    }

    /// <inheritdoc/>
    public void Restore(string folder)
    {
        adapter.Restore(folder);
        head?.Restore(folder);
    }
}
