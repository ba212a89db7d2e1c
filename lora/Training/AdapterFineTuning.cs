using CudaLora.Engine;

namespace CudaLora.Lora;

/// <summary>Trains an adapter with one learning rate; the base stays frozen.</summary>
/// <param name="adapter">The adapter, active on its model.</param>
/// <param name="method">Name of the method.</param>
public class AdapterFineTuning(ModelAdapter adapter, string method) : IFineTuning
{
    /// <inheritdoc/>
    public string Method => method;

    /// <inheritdoc/>
    public CausalLM Model => adapter.Model;

    /// <inheritdoc/>
    public long AddedParameters => adapter.AddedParameters;

    /// <inheritdoc/>
    public virtual bool HasHostWork => adapter.HasHostWork;

    /// <inheritdoc/>
    public virtual IReadOnlyList<ParameterGroup> Groups(TrainingArguments arguments) =>
        WeightDecay.Split(Trained(), arguments);

    /// <summary>What trains; refuses an adapter that would come out of training as it went in.</summary>
    private protected IEnumerable<Parameter> Trained()
    {
        if (!adapter.IsActive || adapter.IsMerged)
            throw new InvalidOperationException(
                $"[{Method}] the adapter that trains must be in the forward pass, but '{adapter.Name}' is "
                + (adapter.IsMerged ? "merged: call Unmerge" : "not active: call Activate"));
        var trained = adapter.TrainableParameters();
        return trained.Any(p => p.Trainable)
            ? trained
            : throw new InvalidOperationException(
                $"[{Method}] the adapter that trains must be trainable, but '{adapter.Name}' is frozen, as every adapter "
                + "that was loaded: call SetTrainable(true)");
    }

    /// <inheritdoc/>
    public void Save(string folder) => adapter.Save(folder);

    /// <inheritdoc/>
    public void Restore(string folder) => adapter.Restore(folder);

    /// <inheritdoc/>
    public virtual IEnumerable<(string Name, Tensor Value)> State() => adapter.TrainingState();

    /// <inheritdoc/>
    public void StateRead() => adapter.TrainingStateRead();
}
