using CudaLora.Engine;

namespace CudaLora.Lora;

/// <summary>
/// Trained tokens in front of every text: as embeddings that run through all blocks, or as keys and values of each
/// layer that only the others look at.
/// </summary>
internal abstract class VirtualTokens
{
    /// <summary>How many.</summary>
    public abstract int Count { get; }

    /// <summary>Whether they are embeddings, which have places of their own in front of the text.</summary>
    public abstract bool AreEmbeddings { get; }

    /// <summary>Their embeddings (N, C), or null.</summary>
    public virtual Tensor? Embeddings() => null;

    /// <summary>Their keys and values in a layer, each (N, G, D) and rotated, as in a cache; or null.</summary>
    public virtual (Tensor Keys, Tensor Values)? KeysAndValues(int layer) => null;
}
