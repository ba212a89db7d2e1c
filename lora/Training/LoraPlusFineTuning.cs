using CudaLora.Engine;

namespace CudaLora.Lora;

/// <summary>
/// LoRA+ (Hayou et al. 2024, arXiv 2402.12354): B learns faster than A by a fixed ratio, as A's features need. Groups
/// as in PEFT and the authors' code.
/// </summary>
/// <param name="adapter">The adapter, active on its model.</param>
/// <param name="ratio">Learning rate of B over that of A.</param>
/// <param name="embeddingRate">Learning rate of adapters on embeddings.</param>
public sealed class LoraPlusFineTuning(LoraAdapter adapter, double ratio = 16, double embeddingRate = 1e-6)
    : AdapterFineTuning(adapter, "lora-plus")
{
    /// <summary>
    /// A and trained matrices; B and everything one-dimensional at the ratio, biases without decay; adapters on
    /// embeddings at their own rate.
    /// </summary>
    public override IReadOnlyList<ParameterGroup> Groups(TrainingArguments arguments)
    {
        var byKind = Trained().ToLookup(KindOf);
        var (rate, decay) = (arguments.LearningRate, arguments.WeightDecay);
        return
        [
            .. Group(Kind.A, rate, decay), .. Group(Kind.Embedding, embeddingRate, decay),
            .. Group(Kind.B, rate * ratio, decay), .. Group(Kind.BWithoutDecay, rate * ratio, 0),
        ];

        IEnumerable<ParameterGroup> Group(Kind kind, double rate, double decay) =>
            byKind[kind].Any() ? [new ParameterGroup(byKind[kind], rate, decay)] : [];
    }

    private static Kind KindOf(Parameter parameter)
    {
        var path = parameter.Path.Value;
        if (path.Contains("lora_embedding_", StringComparison.Ordinal))
            return Kind.Embedding;
        if (!path.Contains("lora_B", StringComparison.Ordinal) && parameter.Value.Shape.Rank > 1)
            return Kind.A;
        return path.Contains("bias", StringComparison.Ordinal) ? Kind.BWithoutDecay : Kind.B;
    }

    private enum Kind
    {
        A,
        Embedding,
        B,
        BWithoutDecay,
    }
}
