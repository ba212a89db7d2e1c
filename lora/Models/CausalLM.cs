using CudaLora.Engine;

namespace CudaLora.Lora;

/// <summary>
/// A decoder-only language model of one of the <see cref="ModelFamily"/> families. Parameters carry the names of the
/// Hugging Face model; they are frozen until <see cref="Module.SetTrainable"/>. Letters: B rows, T tokens, C hidden
/// size, V vocabulary.
/// </summary>
public sealed partial class CausalLM : Module
{
    private readonly TransformerBlock[] blocks;
    private readonly Embedding? positionTable;
    private readonly RotaryTable? rotary;
    private readonly Module finalNorm;
    private readonly List<IDisposable> attached = [];

    private CausalLM(ModelConfig config, ModelParts source, ModelPlacement placement)
        : base(ParameterPath.Root)
    {
        (Config, Placement) = (config, placement);
        Generation = GenerationConfig.From(config);
        var (body, std) = (ModelKeys.Body(config), (float)config.InitializerRange);
        var gpt2 = config.Family == ModelFamily.Gpt2;
        Embedding = Child(new Embedding(
            ModelKeys.Embedding(config), config.VocabSize, config.HiddenSize, source, std));
        if (gpt2)
            positionTable = Child(new Embedding(
                body / "wpe", config.MaxPositions, config.HiddenSize, source, std));
        else
            rotary = source.Keep(new RotaryTable(
                config.MaxPositions, config.HeadDim, RopeScaling.Frequencies(config.RopeTheta, config.RopeScaling),
                Device));
        blocks = new TransformerBlock[config.Layers];
        for (var i = 0; i < blocks.Length; i++)
        {
            var path = body / (gpt2 ? "h" : "layers") / i;
            blocks[i] = Child<TransformerBlock>(
                gpt2 ? new Gpt2Block(path, i, config, source) : new LlamaBlock(path, i, config, rotary!, source));
        }
        var eps = (float)config.NormEps;
        finalNorm = Child<Module>(gpt2
            ? new LayerNorm(body / "ln_f", config.HiddenSize, eps, source)
            : new RmsNorm(body / "norm", config.HiddenSize, eps, source));
        var head = new ParameterPath("lm_head");
        Head = Child(config.TieWordEmbeddings
            ? new Linear(head, Embedding.Weight)
            : new Linear(head, config.HiddenSize, config.VocabSize, false, source, std));
    }

    /// <summary>The config.</summary>
    public ModelConfig Config { get; private set; }

    /// <summary>Where it lives and in which types it computes.</summary>
    public ModelPlacement Placement { get; }

    /// <summary>The device of its parameters.</summary>
    public Device Device => Placement.Device;

    /// <summary>Ids that stop, and sampling defaults.</summary>
    public GenerationConfig Generation { get; set; }

    /// <summary>Token embedding (V, C).</summary>
    public Embedding Embedding { get; }

    /// <summary>The output layer (V, C); its weight is the embedding's if the config ties them.</summary>
    public Linear Head { get; }

    /// <summary>
    /// Keep only each block's input for backward and compute the rest again: less memory, a third more time.
    /// </summary>
    public bool GradientCheckpointing { get; set; }

    /// <summary>The stream dropout in adapters draws from; gradient checkpointing rewinds it.</summary>
    public Generator? Random { get; set; }

    /// <summary>The adapter in the forward pass, or null: <see cref="ModelAdapter.Activate"/>.</summary>
    public ModelAdapter? ActiveAdapter { get; internal set; }

    /// <summary>
    /// Noise on the embeddings in training, uniform in ±alpha / √(T C) (NEFTune, Jain et al. 2023, arXiv 2310.05914);
    /// 0 for none. Needs <see cref="Random"/>.
    /// </summary>
    public double NeftuneNoiseAlpha { get; set; }

    /// <summary>Number of values in all parameters and 4-bit weights.</summary>
    public long ParameterCount => Parameters().Sum(p => p.Value.Count) + QuantizedCount;

    /// <summary>Number of weights that are 4-bit.</summary>
    public long QuantizedCount => Linears().Sum(linear => linear.Quantized?.Count ?? 0);

    /// <summary>How the 4-bit layers are made, or null if there are none.</summary>
    public QuantizationOptions? Quantization =>
        Linears().FirstOrDefault(linear => linear.Quantized is not null)?.Quantized!.Options;

    /// <summary>The linear layers in model order, the output layer last.</summary>
    public IEnumerable<Linear> Linears() => Modules().OfType<Linear>();

    /// <summary>All modules as adapter configs see them; see <see cref="TargetModules"/>.</summary>
    public IReadOnlyList<ModulePath> ModulePaths()
    {
        RequireAlive();
        return Modules()
            .Where(module => module != this)
            .Select(module => new ModulePath(module.Path.Value, module switch
            {
                Linear when module == Head || module == Score => ModuleKind.OutputEmbedding,
                Linear { IsConv1D: true } => ModuleKind.Conv1D,
                Linear => ModuleKind.Linear,
                Engine.Embedding => ModuleKind.Embedding,
                _ => ModuleKind.Other,
            }))
            .ToArray();
    }

    /// <summary>Logits (B, T, V) of every token; see <see cref="Hidden(Tensor, Tensor, Tensor, Tensor)"/>.</summary>
    public Tensor Forward(
        Tensor ids, Tensor? positions = null, Tensor? segments = null, Tensor? lengths = null) =>
        Logits(Hidden(ids, positions, segments, lengths));

    /// <summary>The normalised residual stream after the last block (B, T, C): what heads are put on.</summary>
    /// <param name="ids">Tokens (B, T), I32.</param>
    /// <param name="positions">Position of each token (B, T), I32; null counts from 0 in each row.</param>
    /// <param name="segments">Number of each token's text (B, T), I32, when rows pack several; tokens attend within
    /// their own. Give positions as well, as each text starts at 0.</param>
    /// <param name="lengths">Tokens that count in each row (B), I32; the rest is padding on the right, whose outputs
    /// mean nothing.</param>
    public Tensor Hidden(
        Tensor ids, Tensor? positions = null, Tensor? segments = null, Tensor? lengths = null)
    {
        CheckIds(ids);
        var virtualTokens = VirtualTokens?.Count ?? 0;
        CheckLength(ids.Shape[1] + virtualTokens);
        if (virtualTokens > 0 && segments is not null)
            throw new UserErrorException(
                "virtual tokens (num_virtual_tokens) exclude packing: each packed text would need its own");
        return Run(ids, new ForwardPass
        {
            Positions = Shifted(positions ?? Positions(ids, default), virtualTokens),
            Segments = segments,
            KeyLengths = lengths is null ? null : Shifted(lengths, virtualTokens),
            VirtualTokens = VirtualTokens,
        });
    }

    /// <summary>As above after what a cache holds, and adds these tokens to it. For inference: no gradient.</summary>
    /// <param name="ids">The next tokens of each row (B, T), I32.</param>
    /// <param name="cache">Keys and values of the tokens before.</param>
    /// <param name="counts">Tokens of each row that count (B); the rest of a row is padding on the right.</param>
    public Tensor Hidden(Tensor ids, KvCache cache, ReadOnlySpan<int> counts)
    {
        CheckIds(ids);
        var (batch, tokens) = (ids.Shape[0], ids.Shape[1]);
        using var noGrad = GradMode.NoGrad();
        if (cache.Batch != batch || counts.Length != batch)
            throw new ArgumentException(
                $"[causal_lm] cache and counts must have {batch} rows, but got {cache.Batch} and {counts.Length}");
        BeginCache(cache);
        Span<int> lengths = batch <= 256 ? stackalloc int[batch] : new int[batch];
        var keyCount = 0;
        for (var b = 0; b < batch; b++)
        {
            lengths[b] = cache.Lengths[b] + counts[b];
            CheckLength(cache.Lengths[b] + counts[b]);
            keyCount = Math.Max(keyCount, cache.Lengths[b] + tokens);
        }
        if (keyCount > cache.Capacity)
            throw new ArgumentException(
                $"[causal_lm] the tokens must fit in the cache of {cache.Capacity}, but would need {keyCount}");
        var hidden = Run(ids, new ForwardPass
        {
            Positions = Positions(ids, cache.Lengths),
            KeyLengths = Tensor.From(lengths, Shape.Of(batch), Device),
            QueryStarts = Tensor.From(cache.Lengths, Shape.Of(batch), Device),
            KeyCount = keyCount,
            Cache = cache,
        });
        cache.Advance(counts);
        return hidden;
    }

    /// <summary>
    /// As above with everything that the host knows written before: "ids" and "positions" (B, T), "starts" and
    /// "lengths" (B). The cache takes the tokens, but is not advanced. Can be captured as a graph.
    /// </summary>
    internal Tensor Hidden(InputSet inputs, KvCache cache, int keyCount) => Run(inputs["ids"], new ForwardPass
    {
        Positions = inputs["positions"],
        KeyLengths = inputs["lengths"],
        QueryStarts = inputs["starts"],
        KeyCount = keyCount,
        Cache = cache,
    });

    /// <summary>Logits (..., V) of hidden states (..., C).</summary>
    public Tensor Logits(Tensor hidden) => Head.Forward(hidden);

    /// <inheritdoc/>
    protected override void Dispose(bool disposing)
    {
        IsDisposed = true;
        base.Dispose(disposing);
        if (!disposing)
            return;
        rotary?.Dispose();
        foreach (var part in attached)
            part.Dispose();
        attached.Clear();
    }

    /// <summary>True when its weights are gone.</summary>
    internal bool IsDisposed { get; private set; }

    /// <summary>Releases <paramref name="part"/> with the weights.</summary>
    internal void Attach(IDisposable part) => attached.Add(part);

    internal void RequireAlive()
    {
        if (IsDisposed)
            throw new ObjectDisposedException(nameof(CausalLM), "[causal_lm] must not be used after it was disposed");
    }

    private Tensor Run(Tensor ids, ForwardPass pass)
    {
        RequireAlive();
        var x = Noisy(Embedding.Forward(ids)); // (B, T, C)
        if (pass.Cache is null && VirtualTokens?.Embeddings() is { } front)
            x = TensorOps.Concat(1, Repeated(front, ids.Shape[0]), x);
        x = Blocks(x, pass);
        var before = x.Shape[1] - ids.Shape[1];
        return before == 0 ? x : x.Slice(1, before, ids.Shape[1]);
    }

    private Tensor Blocks(Tensor x, ForwardPass pass)
    {
        if (positionTable is not null)
            x = x.Add(positionTable.Forward(pass.Positions));
        if (x.DType != Placement.Activations)
            x = x.Cast(Placement.Activations);
        foreach (var block in blocks)
            x = GradientCheckpointing && GradMode.Enabled
                ? TensorOps.Checkpoint(x, h => block.Forward(h, pass), Random)
                : block.Forward(x, pass);
        return finalNorm is RmsNorm rms ? rms.Forward(x) : ((LayerNorm)finalNorm).Forward(x);
    }

    private void CheckIds(Tensor ids)
    {
        if (ids.DType != DType.I32 || ids.Shape.Rank != 2)
            throw new ArgumentException($"[causal_lm] ids must be I32 (B, T), but got {ids.DType} {ids.Shape}");
        CheckLength(ids.Shape[1]);
    }

    private void CheckLength(int tokens)
    {
        if (tokens > Config.MaxPositions)
            throw new UserErrorException(
                $"a text must fit the model's context of {Config.MaxPositions} tokens, but has {tokens}");
    }

    // Padding may lie beyond the context; its position does not matter.
    private Tensor Positions(Tensor ids, ReadOnlySpan<int> starts)
    {
        var span = new int[ids.Count];
        for (var b = 0; b < ids.Shape[0]; b++)
        {
            var start = starts.IsEmpty ? 0 : starts[b];
            for (var t = 0; t < ids.Shape[1]; t++)
                span[(b * ids.Shape[1]) + t] = Math.Min(start + t, Config.MaxPositions - 1);
        }
        return Tensor.From(span, ids.Shape, Device);
    }
}
