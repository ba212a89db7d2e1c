using CudaLora.Engine;

namespace CudaLora.Lora;

/// <summary>
/// Trained values that sit on a frozen model: LoRA and its relatives, prompts, prefixes. Several can live on one base;
/// one is active at a time. Files are PEFT's.
/// </summary>
public abstract class ModelAdapter : IDisposable
{
    private readonly Generator random;
    private bool disposed;

    private protected ModelAdapter(CausalLM model, Generator random, string name) =>
        (Model, this.random, Name) = (model, random, name);

    /// <summary>The base model.</summary>
    public CausalLM Model { get; }

    /// <summary>Name among the adapters of a base.</summary>
    public string Name { get; }

    /// <summary>What the adapter is, in a few words: its method and sizes.</summary>
    public abstract string Description { get; }

    /// <summary>Values the adapter adds to the base.</summary>
    public virtual long AddedParameters => TrainableParameters().Sum(p => p.Value.Count);

    /// <summary>Tensors of the loaded file that this adapter has no place for; for a warning.</summary>
    public IReadOnlyList<string> IgnoredTensors { get; private protected set; } = [];

    /// <summary>True while it takes part in the forward pass.</summary>
    public bool IsActive => Model.ActiveAdapter == this;

    /// <summary>True while it is part of the base weights.</summary>
    public bool IsMerged { get; private set; }

    /// <summary>Everything that trains.</summary>
    public abstract IEnumerable<Parameter> TrainableParameters();

    /// <summary>
    /// Writes adapter_config.json and adapter_model.safetensors, values as F32 or rounded to 16 bits.
    /// </summary>
    public abstract void Save(string folder, SafetensorsDType dtype = SafetensorsDType.F32);

    /// <summary>Overwrites this adapter's values with those of a folder it was saved to.</summary>
    public void Restore(string folder)
    {
        RequireAlive();
        if (IsMerged)
            throw new InvalidOperationException("[lora] adapter must be unmerged before it is restored, but is merged");
        ReadValues(folder);
    }

    /// <summary>Puts this adapter into the forward pass, and any other out of it.</summary>
    /// <exception cref="ObjectDisposedException">The adapter, or its model, was disposed.</exception>
    public void Activate()
    {
        RequireAlive();
        Model.RequireAlive();
        Model.ActiveAdapter?.Deactivate();
        Attach(true);
        Model.Random = random;
        Model.ActiveAdapter = this;
    }

    /// <summary>
    /// Takes this adapter out of the forward pass: unless it is merged, the model is the base again, bit for bit.
    /// </summary>
    public void Deactivate()
    {
        if (!IsActive)
            return;
        Attach(false);
        Model.ActiveAdapter = null;
    }

    /// <summary>
    /// Puts the adapter into the base weights: the model can then be saved as one without adapter.
    /// </summary>
    /// <exception cref="UserErrorException">No weights of the base could do what the adapter does.</exception>
    public void Merge()
    {
        RequireAlive();
        Model.RequireAlive();
        if (IsMerged)
            return;
        MergeWeights();
        IsMerged = true;
        Model.Merged.Add(this);
    }

    /// <summary>
    /// Undoes <see cref="Merge"/>. Weights that were added to return to within F32 rounding, all others bit for bit.
    /// Several adapters are unmerged in reverse order.
    /// </summary>
    /// <exception cref="InvalidOperationException">Another was merged after it.</exception>
    public void Unmerge()
    {
        RequireAlive();
        Model.RequireAlive();
        if (!IsMerged)
            return;
        if (Model.Merged[^1] is var last && last != this)
            throw new InvalidOperationException(
                $"[adapter] '{last.Name}' was merged after '{Name}' and must be unmerged before it");
        UnmergeWeights();
        IsMerged = false;
        Model.Merged.Remove(this);
    }

    /// <summary>
    /// Trains or freezes everything that can train. A new adapter trains; one that was loaded is frozen until then.
    /// </summary>
    public void SetTrainable(bool trainable)
    {
        foreach (var parameter in TrainableParameters())
            parameter.Trainable = trainable;
    }

    /// <summary>Leaves the model and releases all values. A merged adapter stays in the base weights.</summary>
    public void Dispose()
    {
        // After the model, there is nothing to put back.
        if (!Model.IsDisposed)
            Deactivate();
        disposed = true;
        Model.Merged.Remove(this);
        Dispose(true);
        GC.SuppressFinalize(this);
    }

    /// <summary>Refuses an adapter without values: it would answer as the base, or be saved as nothing.</summary>
    private protected void RequireAlive()
    {
        if (disposed)
            throw new ObjectDisposedException(Name, $"[adapter] '{Name}' must not be used after it was disposed");
    }

    /// <summary>True when its forward pass does something on the host.</summary>
    internal virtual bool HasHostWork => false;

    /// <summary>What a checkpoint must hold that <see cref="Save"/> leaves out.</summary>
    internal virtual IEnumerable<(string Name, Tensor Value)> TrainingState() => [];

    /// <summary>Told when <see cref="TrainingState"/> has been filled from a checkpoint.</summary>
    internal virtual void TrainingStateRead()
    {
    }

    /// <summary>Makes the values; what was made when it fails is released by <see cref="Dispose(bool)"/>.</summary>
    private protected virtual void Make()
    {
    }

    /// <summary>Puts the adapter into the slots of the model's layers, or empties them.</summary>
    private protected abstract void Attach(bool on);

    /// <summary>Fills the adapter from a folder.</summary>
    private protected abstract void ReadValues(string folder);

    /// <summary>The work of <see cref="Merge"/>.</summary>
    private protected abstract void MergeWeights();

    /// <summary>The work of <see cref="Unmerge"/>.</summary>
    private protected abstract void UnmergeWeights();

    /// <summary>Releases the values.</summary>
    protected abstract void Dispose(bool disposing);

    /// <summary>A new adapter becomes the one that trains: the base is frozen.</summary>
    private protected void Begin() => MadeOrReleased(() =>
    {
        Model.SetTrainable(false);
        SetTrainable(true);
    });

    /// <summary>A new adapter takes its values from a folder and is frozen.</summary>
    private protected void LoadFrom(string folder) => MadeOrReleased(() =>
    {
        ReadValues(folder);
        SetTrainable(false);
    });

    // One that is refused half way is as if it had never been.
    private void MadeOrReleased(Action prepare)
    {
        try
        {
            Make();
            prepare();
            Activate();
        }
        catch
        {
            Dispose();
            throw;
        }
    }
}
