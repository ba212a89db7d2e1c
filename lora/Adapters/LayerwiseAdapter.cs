using CudaLora.Engine;

namespace CudaLora.Lora;

/// <summary>What an adapter puts on one layer.</summary>
internal interface IAdapterLayer : IDisposable
{
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

/// <summary>An adapter that consists of one part per adapted layer.</summary>
public abstract class LayerwiseAdapter : ModelAdapter
{
    private protected LayerwiseAdapter(CausalLM model, Generator random, string name)
        : base(model, random, name)
    {
    }

    private protected List<IAdapterLayer> Parts { get; } = [];

    /// <inheritdoc/>
    public override IEnumerable<Parameter> TrainableParameters() => Parts.SelectMany(part => part.Parameters());

    /// <summary>Everything the adapter file holds.</summary>
    private protected virtual IEnumerable<PeftSlot> Slots() => Parts.SelectMany(part => part.Slots());

    private protected override void ReadValues(string folder) => IgnoredTensors = PeftFiles.Read(Slots(), folder);

    private protected override void Attach(bool on)
    {
        foreach (var part in Parts)
            part.Attach(on);
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
    }

    private protected override void UnmergeWeights()
    {
        foreach (var part in Parts)
            part.Unmerge();
    }

    /// <inheritdoc/>
    protected override void Dispose(bool disposing)
    {
        foreach (var part in Parts)
            part.Dispose();
        Parts.Clear();
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
