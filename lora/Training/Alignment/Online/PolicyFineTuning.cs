using CudaLora.Engine;

namespace CudaLora.Lora;

/// <summary>
/// Trains a policy, and with PPO a value head on the same hidden states. An adapter's reference is the base without
/// it. Training in full changes the base, so there the reference is <see cref="OnlineRun.Reference"/>.
/// </summary>
/// <param name="method">How the policy trains.</param>
/// <param name="head">The value head, or null.</param>
public sealed class PolicyFineTuning(IFineTuning method, ValueHead? head = null) : IFineTuning
{
    /// <summary>Trains an adapter that is active on its model.</summary>
    public PolicyFineTuning(LoraAdapter adapter, ValueHead? head = null)
        : this(new LoraFineTuning(adapter), head)
    {
    }

    /// <inheritdoc/>
    public string Method => method.Method;

    /// <inheritdoc/>
    public CausalLM Model => method.Model;

    /// <summary>The value head, or null.</summary>
    public ValueHead? Head => head;

    /// <inheritdoc/>
    public bool SavesModel => method.SavesModel;

    /// <inheritdoc/>
    public bool HasHostWork => method.HasHostWork;

    /// <inheritdoc/>
    public long AddedParameters => method.AddedParameters + (head?.Parameters().Sum(p => p.Value.Count) ?? 0);

    /// <inheritdoc/>
    public IReadOnlyList<ParameterGroup> Groups(TrainingArguments arguments) =>
        [.. method.Groups(arguments), .. WeightDecay.Split(head?.Parameters() ?? [], arguments)];

    /// <inheritdoc/>
    public void Save(string folder)
    {
        method.Save(folder);
        head?.Save(folder);
    }

    /// <inheritdoc/>
    public void Restore(string folder)
    {
        method.Restore(folder);
        head?.Restore(folder);
    }

    /// <inheritdoc/>
    public double AddPenalty() => method.AddPenalty();

    /// <inheritdoc/>
    public void Updated(in MethodStep step) => method.Updated(step);

    /// <inheritdoc/>
    public IEnumerable<(string Name, Tensor Value)> State() => method.State();

    /// <inheritdoc/>
    public void StateRead() => method.StateRead();
}
