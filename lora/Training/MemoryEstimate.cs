using CudaLora.Engine;

namespace CudaLora.Lora;

/// <summary>What a training step is estimated for.</summary>
/// <param name="Batch">Rows (B).</param>
/// <param name="Length">Tokens per row (T), all labelled.</param>
/// <param name="Rank">Rank of the adapters on all linear layers but the output layer; 0 trains every weight.</param>
/// <param name="Checkpointing">Whether only block inputs are kept for backward.</param>
/// <param name="EightBitStates">Whether the optimiser's moments are 8-bit codes.</param>
/// <param name="PagedStates">Whether they are in host memory, but for a window: on a CUDA device alone.</param>
/// <param name="Activations">Type of activations: F32, or BF16 on a CUDA device.</param>
public sealed record StepSize(
    int Batch, int Length, int Rank = 8, bool Checkpointing = false, bool EightBitStates = false,
    bool PagedStates = false, DType Activations = DType.F32);

/// <summary>
/// Memory of a training step on the device that computes, predicted from shapes alone: the tensors that ops make are
/// counted as the device's pool hands them out. Tensors of a step live until its end, so the peak is all of the forward
/// pass plus the most that is held besides for a time. What an op needs for itself alone is left out: it is small but
/// in a model of a few hundred KB.
/// </summary>
/// <param name="Weights">The base model, in bytes.</param>
/// <param name="Trained">Adapters, gradients of what trains, and optimiser states.</param>
/// <param name="Activations">What the forward pass leaves.</param>
/// <param name="Passing">
/// The most that is held besides: the gradients of a block, with checkpointing its activations too; or the logits of a
/// chunk of tokens.
/// </param>
public readonly record struct MemoryEstimate(long Weights, long Trained, long Activations, long Passing)
{
    /// <summary>The predicted peak, in bytes.</summary>
    public long Total => Weights + Trained + Activations + Passing;

    /// <summary>The estimate for a model of these sizes.</summary>
    /// <param name="config">The model.</param>
    /// <param name="weights">Bytes of each tensor of the base in memory.</param>
    /// <param name="step">Batch, length and method.</param>
    public static MemoryEstimate Of(ModelConfig config, IEnumerable<long> weights, StepSize step)
    {
        var sizes = new Sizes(config, step);
        var tables = config.Family == ModelFamily.Gpt2 ? 0 : 2 * Pooled(2L * config.MaxPositions * config.HeadDim);
        var bases = weights.ToArray();
        long[] counts = step.Rank > 0
            ? [.. Linears(config).SelectMany(l => new[] { (long)step.Rank * l.In, (long)step.Rank * l.Out })]
            : [.. bases.Select(bytes => bytes / 4)];
        var times = step.Rank > 0 ? config.Layers : 1;
        // The values of an adapter are besides those of the base; each has a gradient and two moments.
        var trained = times * counts.Sum(count => (step.Rank > 0 ? 2 : 1) * Pooled(4 * count));
        trained += step.PagedStates
            ? Window(times * counts.Sum(count => Moments(count, step, bytes => bytes)))
            : times * counts.Sum(count => Moments(count, step, Pooled));
        return new MemoryEstimate(bases.Sum(Pooled) + tables, trained, sizes.Forward(), sizes.Passing());
    }

    private static long Moments(long count, StepSize step, Func<long, long> size) =>
        step.EightBitStates && count >= 4096
            ? 2 * (size(count) + size(4 * ((count + 255) / 256)))
            : 2 * size(4 * count);

    // Three pages, or what there is.
    private static long Window(long moments) => Pooled(Math.Min(moments, 3 * AdamW.DefaultPageBytes));

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

        private long Hidden => Wide(config.HiddenSize);

        private long Inner => Wide(config.IntermediateSize);

        private long Queries => Wide(config.Heads * config.HeadDim);

        private long Keys => Wide(config.KeyValueHeads * config.HeadDim);

        public long Forward()
        {
            var gpt2 = config.Family == ModelFamily.Gpt2;
            // Embedding (with GPT-2 that of places, and their sum), last norm and its labelled rows.
            var outside = ((gpt2 ? 4 : 2) * Hidden) + Norm() + Inputs() + Labelled(config.HiddenSize);
            // A frozen output layer leaves the gradient of its input instead of logits.
            var loss = Labelled(step.Rank > 0 ? config.HiddenSize : config.VocabSize);
            return outside + loss + (config.Layers * (step.Checkpointing ? Hidden : Block()));
        }

        public long Passing()
        {
            var rows = (long)step.Batch * step.Length;
            var alike = ((rows * config.HiddenSize / config.VocabSize) + 127) / 128 * 128;
            var chunk = step.Rank > 0 ? Values(Math.Min(rows, Math.Max(256, alike)) * config.VocabSize) : 0;
            return Math.Max(chunk, Backward() + (step.Checkpointing ? Block() : 0));
        }

        private long Backward()
        {
            // The residual's gradient; the product's, gate's and up's (GPT-2 has no gate).
            var mlp = Hidden + ((config.Family == ModelFamily.Gpt2 ? 2 : 3) * Inner);
            var attention = config.Family == ModelFamily.Gpt2
                ? (2 * Hidden) + (3 * Hidden) + Wide(3 * config.HiddenSize)
                : Hidden + (2 * Queries) + (2 * Keys);
            return Math.Max(mlp, attention) + (step.Checkpointing ? Hidden : 0);
        }

        // Ids, positions, labelled places and labels.
        private long Inputs() => 4 * F32(1);

        private long Block()
        {
            // In BF16 too: S lies in the block that the F32 parts of the S before it left in the pool.
            var loras = step.Rank > 0 ? Linears(config).Length * F32(step.Rank) : 0;
            if (config.Family == ModelFamily.Gpt2)
                // ln, qkv and its three parts, attention, projection, sum; ln, up, gelu, down, sum.
                return (2 * Norm()) + Wide(3 * config.HiddenSize) + (9 * Hidden) + Scores() + (2 * Inner) + loras;
            var gate = config.Activation == Activation.Silu ? 3 * Inner : 4 * Inner;
            // Norms, q k v (turned in place), attention, o, sum; norm, gate up and their product, down, sum.
            var block = (2 * (Hidden + Norm())) + (2 * Queries) + (2 * Keys) + Scores() + (4 * Hidden) + gate + loras;
            return config.QkNorm ? block + Queries + Keys + F32(config.Heads) + F32(config.KeyValueHeads) : block;
        }

        // A number per row and head for attention, and one or two per row for a norm.
        private long Scores() => F32(config.Heads);

        private long Norm() => F32(config.Family == ModelFamily.Gpt2 ? 2 : 1);

        private long F32(long width) => Pooled(4 * tokens * width);

        // Activations of every token; values of a head or a norm are F32 in any case.
        private long Wide(long width) => Values(tokens * width);

        private long Labelled(long width) => Values((long)step.Batch * step.Length * width);

        private long Values(long count) => Pooled(step.Activations.Size() * count);
    }
}
