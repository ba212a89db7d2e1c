namespace CudaLora.Engine;

/// <summary>Takes an embedding's place in the forward pass.</summary>
public interface IEmbeddingAdapter
{
    /// <summary>Embeddings of <paramref name="ids"/> (...), I32: (..., n).</summary>
    Tensor Forward(Embedding embedding, Tensor ids);
}

/// <summary>A table of rows looked up by id, with a slot for an adapter.</summary>
public sealed class Embedding : Module
{
    /// <summary>A table whose parameter <c>weight</c> (vocabulary, n) comes from a source.</summary>
    public Embedding(ParameterPath path, int vocabulary, int features, ParameterSource source, float deviation = 1)
        : base(path) =>
        Weight = Own(source.Parameter(path / "weight", Shape.Of(vocabulary, features), Initializer.Normal(deviation)));

    /// <summary>Rows (vocabulary, n).</summary>
    public Parameter Weight { get; }

    /// <summary>The adapter that computes the lookup, or null for the plain table.</summary>
    public IEmbeddingAdapter? Adapter { get; set; }

    /// <summary>Rows of <paramref name="ids"/> (...), I32: (..., n).</summary>
    public Tensor Forward(Tensor ids) =>
        Adapter is { } adapter ? adapter.Forward(this, ids) : Weight.Value.Embedding(ids);
}
