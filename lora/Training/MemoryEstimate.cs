using CudaLora.Engine;

namespace CudaLora.Lora;

/// <summary>What a training step is estimated for.</summary>
/// <param name="Batch">Rows (B).</param>
/// <param name="Length">Tokens per row (T), all labelled.</param>
/// <param name="Rank">Rank of the adapters on all linear layers but the output layer; 0 trains every weight.</param>
/// <param name="Checkpointing">Whether only block inputs are kept for backward.</param>
/// <param name="EightBitStates">Whether the optimiser's moments are 8-bit codes.</param>
public sealed record StepSize(
    int Batch, int Length, int Rank = 8, bool Checkpointing = false, bool EightBitStates = false);

/// <summary>
/// Memory of a training step on the CPU device, predicted from shapes alone: the tensors that ops make are counted as
/// the device's pool hands them out. Tensors of a step live until its end, so the peak is all of the forward pass plus
/// the largest set of gradients that backward holds at a time.
/// </summary>
/// <param name="Weights">The base model, in bytes.</param>
/// <param name="Trained">Adapters, gradients of what trains, and optimiser states.</param>
/// <param name="Activations">What the forward pass leaves, the logits among it.</param>
/// <param name="Gradients">The most that backward holds besides.</param>
public readonly record struct MemoryEstimate(long Weights, long Trained, long Activations, long Gradients)
{
    /// <summary>The predicted peak, in bytes.</summary>
    public long Total => Weights + Trained + Activations + Gradients;

    /// <summary>The estimate for a model of these sizes.</summary>
    /// <param name="config">The model.</param>
    /// <param name="weights">Bytes of each tensor of the base in memory.</param>
    /// <param name="step">Batch, length and method.</param>
    public static MemoryEstimate Of(ModelConfig config, IEnumerable<long> weights, StepSize step)
    {
        var sizes = new Sizes(config, step);
        var tables = config.Family == ModelFamily.Gpt2 ? 0 : 2 * Pooled(2L * config.MaxPositions * config.HeadDim);
        var bases = weights.ToArray();
        var trained = step.Rank > 0
            ? config.Layers * Linears(config).Sum(
                l => Trainable((long)step.Rank * l.In, step) + Trainable((long)step.Rank * l.Out, step))
            : bases.Sum(bytes => Trainable(bytes / 4, step) - Pooled(bytes));
        return new MemoryEstimate(bases.Sum(Pooled) + tables, trained, sizes.Forward(), sizes.Backward());
    }

    // Values (of an adapter), gradient and moments.
    private static long Trainable(long count, StepSize step)
    {
        var moments = step.EightBitStates && count >= 4096
            ? 2 * (Pooled(count) + Pooled(4 * ((count + 255) / 256)))
            : 2 * Pooled(4 * count);
        return (2 * Pooled(4 * count)) + moments;
    }

    private static long Pooled(long bytes) => Device.PooledSize(bytes);

    private static (int In, int Out)[] Linears(ModelConfig c)
    {
        var (hidden, inner) = (c.HiddenSize, c.IntermediateSize);
        if (c.Family == ModelFamily.Gpt2)
            return [(hidden, 3 * hidden), (hidden, hidden), (hidden, inner), (inner, hidden)];
        var (q, kv) = (c.Heads * c.HeadDim, c.KeyValueHeads * c.HeadDim);
        return
        [
            (hidden, q), (hidden, kv), (hidden, kv), (q, hidden), (hidden, inner), (hidden, inner), (inner, hidden),
        ];
    }

    /// <summary>Tensors of one pass over <paramref name="step"/>'s tokens.</summary>
    private sealed class Sizes(ModelConfig config, StepSize step)
    {
        private static readonly int Multiple = new BatcherOptions().PadToMultipleOf;

        private readonly long tokens = (long)step.Batch * ((step.Length + Multiple - 1) / Multiple * Multiple);

        private long Hidden => F32(config.HiddenSize);

        private long Inner => F32(config.IntermediateSize);

        private long Queries => F32(config.Heads * config.HeadDim);

        private long Keys => F32(config.KeyValueHeads * config.HeadDim);

        public long Forward()
        {
            var gpt2 = config.Family == ModelFamily.Gpt2;
            // Embedding (with GPT-2 that of places, and their sum), last norm, its labelled rows, logits, losses.
            var logits = Pooled(4L * step.Batch * step.Length * config.VocabSize);
            var outside = ((gpt2 ? 5 : 3) * Hidden) + Norm() + logits + Inputs();
            var kept = step.Checkpointing ? (config.Layers * Hidden) + Block() : config.Layers * Block();
            return outside + kept;
        }

        public long Backward()
        {
            // The residual's gradient; the product's, gate's and up's (GPT-2 has no gate).
            var mlp = Hidden + ((config.Family == ModelFamily.Gpt2 ? 2 : 3) * Inner);
            var attention = config.Family == ModelFamily.Gpt2
                ? (2 * Hidden) + (3 * Hidden) + F32(3 * config.HiddenSize)
                : Hidden + (2 * Queries) + (2 * Keys);
            return Math.Max(mlp, attention) + (step.Checkpointing ? Hidden : 0);
        }

        // Ids, positions, labelled places and labels.
        private long Inputs() => 4 * F32(1);

        private long Block()
        {
            var loras = step.Rank > 0 ? Linears(config).Length * F32(step.Rank) : 0;
            if (config.Family == ModelFamily.Gpt2)
                // ln, qkv and its three parts, attention, projection, sum; ln, up, gelu, down, sum.
                return (2 * Norm()) + F32(3 * config.HiddenSize) + (9 * Hidden) + Scores() + (2 * Inner) + loras;
            var gate = config.Activation == Activation.Silu ? 3 * Inner : 4 * Inner;
            // Norms, q k v, their rotation, attention, o, sum; norm, gate up and their product, down, sum.
            var block = (2 * (Hidden + Norm())) + (3 * Queries) + (3 * Keys) + Scores() + (4 * Hidden) + gate + loras;
            return config.QkNorm ? block + Queries + Keys + F32(config.Heads) + F32(config.KeyValueHeads) : block;
        }

        // A number per row and head for attention, and one or two per row for a norm.
        private long Scores() => F32(config.Heads);

        private long Norm() => F32(config.Family == ModelFamily.Gpt2 ? 2 : 1);

        private long F32(long width) => Pooled(4 * tokens * width);
    }
}
