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
        WeightDecay.Split(adapter.TrainableParameters(), arguments);

    /// <inheritdoc/>
    public void Save(string folder) => adapter.Save(folder);

    /// <inheritdoc/>
    public void Restore(string folder) => adapter.Restore(folder);

    /// <inheritdoc/>
    public virtual IEnumerable<(string Name, Tensor Value)> State() => adapter.TrainingState();

    /// <inheritdoc/>
    public void StateRead() => adapter.TrainingStateRead();
}
