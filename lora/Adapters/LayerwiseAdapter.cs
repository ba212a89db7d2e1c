using CudaLora.Engine;

namespace CudaLora.Lora;

/// <summary>What an adapter puts on one layer.</summary>
internal interface IAdapterLayer : IDisposable
{
    /// <summary>The base's layer.</summary>
    Module Layer { get; }

    /// <summary>The values that the adapter has for the layer, trained or not.</summary>
    IEnumerable<Parameter> Parameters();

    /// <summary>Where the values go in an adapter file.</summary>
    IEnumerable<PeftSlot> Slots();

    /// <summary>The base's parameters that <see cref="Merge"/> changes.</summary>
    IEnumerable<Parameter> Merged();

    /// <summary>Takes the layer's slot, or leaves it.</summary>
    void Attach(bool on);

    /// <summary>Puts the values into the layer's own weights.</summary>
    void Merge();

    /// <summary>Undoes <see cref="Merge"/>.</summary>
    void Unmerge();
}

/// <summary>
/// An adapter that consists of one part per adapted layer, and of what PEFT lets every such method train beside them:
/// whole layers (<c>modules_to_save</c>) and biases of the base (<c>bias</c>).
/// </summary>
public abstract class LayerwiseAdapter : ModelAdapter
{
    private AdapterBiases? biases;

    private protected LayerwiseAdapter(CausalLM model, Generator random, string name)
        : base(model, random, name)
    {
    }

    /// <inheritdoc/>
    public override long AddedParameters => Parts.SelectMany(part => part.Parameters()).Sum(p => p.Value.Count);

    /// <summary>The adapted layers in model order, then the whole ones.</summary>
    private protected List<IAdapterLayer> Parts { get; } = [];

    /// <summary>Those of <see cref="Parts"/> that are the method's own.</summary>
    private protected IEnumerable<IAdapterLayer> Adapted => Parts.Where(part => part is not FullLayer);

    private protected virtual LoraBias Biases => LoraBias.None;

    /// <summary><c>modules_to_save</c>, and the task they are for.</summary>
    private protected abstract (IReadOnlyList<string> Names, string? Task) WholeModules { get; }

    /// <inheritdoc/>
    public override IEnumerable<Parameter> TrainableParameters() =>
        Parts.SelectMany(part => part.Parameters()).Concat(biases?.Parameters ?? []);

    /// <summary>Everything the adapter file holds.</summary>
    private protected virtual IEnumerable<PeftSlot> Slots() =>
        Adapted.SelectMany(part => part.Slots()).Concat(OtherSlots());

    /// <summary>That part of it that is the same for every method.</summary>
    private protected IEnumerable<PeftSlot> OtherSlots()
    {
        foreach (var slot in Parts.OfType<FullLayer>().SelectMany(part => part.Slots()))
            yield return slot;
        var adapted = Adapted.Select(part => (part.Layer as Linear)?.Bias).ToHashSet();
        foreach (var (bias, trained) in biases?.Values ?? [])
        {
            var owner = bias.Path.Value[..^".bias".Length];
            yield return new PeftSlot(
                PeftSlot.Prefix + owner + (adapted.Contains(bias) ? ".base_layer.bias" : ".bias"), trained);
        }
    }

    /// <summary>Makes the method's own parts, one after the other.</summary>
    private protected abstract IEnumerable<IAdapterLayer> MakeLayers();

    private protected override void Make()
    {
        var (names, task) = WholeModules;
        // The whole layers first, as they may refuse; but the adapted ones come first in files and updates.
        foreach (var module in FullLayer.Named(Model, names, task))
            Parts.Add(new FullLayer(module));
        var at = 0;
        foreach (var layer in MakeLayers())
            Parts.Insert(at++, layer);
        var active = Model.ActiveAdapter is LayerwiseAdapter { IsMerged: false } other ? other.biases : null;
        active?.Use(false);
        try
        {
            biases = new AdapterBiases(BaseBiases());
        }
        finally
        {
            active?.Use(true);
        }
    }

    private protected override void ReadValues(string folder) => IgnoredTensors = PeftFiles.Read(Slots(), folder);

    private protected override void Attach(bool on)
    {
        foreach (var part in Parts)
            part.Attach(on);
        biases?.Use(on || IsMerged);
    }

    private protected override void MergeWeights()
    {
        RequireUntied();
        var done = 0;
        try
        {
            for (; done < Parts.Count; done++)
                Parts[done].Merge();
        }
        catch
        {
            while (done > 0)
                Parts[--done].Unmerge();
            throw;
        }
        biases?.Use(true);
    }

    private protected override void UnmergeWeights()
    {
        foreach (var part in Parts)
            part.Unmerge();
        biases?.Use(IsActive);
    }

    /// <inheritdoc/>
    protected override void Dispose(bool disposing)
    {
        foreach (var part in Parts)
            part.Dispose();
        Parts.Clear();
        biases?.Dispose();
        biases = null;
    }

    private IEnumerable<Parameter> BaseBiases()
    {
        var chosen = Biases switch
        {
            LoraBias.All => Model.Parameters().Where(p => p.Path.Name == "bias"),
            LoraBias.LoraOnly => Adapted.Select(part => (part.Layer as Linear)?.Bias).OfType<Parameter>(),
            _ => [],
        };
        // A whole layer trains the bias of its copy.
        return chosen.Except(Parts.OfType<FullLayer>().SelectMany(layer => layer.Merged()));
    }

    // The merged model could not hold both weights.
    private void RequireUntied()
    {
        if (!Model.Config.TieWordEmbeddings)
            return;
        var shared = Model.Embedding.Weight;
        if (Parts.Any(part => part.Merged().Contains(shared)))
            throw new UserErrorException(
                $"an adapter on {Model.Embedding.Path} or {Model.Head.Path} cannot be merged into this model, whose " +
                "embedding and output layer are one weight (tie_word_embeddings); use the adapter as it is");
    }
}
