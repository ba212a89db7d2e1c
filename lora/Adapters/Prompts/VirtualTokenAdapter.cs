using CudaLora.Engine;

namespace CudaLora.Lora;

/// <summary>
/// Prefix tuning, prompt tuning and P-tuning: trained tokens in front of every text, the model as it is. The file holds
/// one tensor, <c>prompt_embeddings</c>; an encoder that made it in training is not part of it.
/// </summary>
public sealed class VirtualTokenAdapter : ModelAdapter
{
    private readonly Parameter table; // (N, C), or (N, L 2 D) for a prefix
    private readonly PromptEncoder? encoder;
    private readonly VirtualTokens tokens;
    private bool folded;

    private VirtualTokenAdapter(
        CausalLM model, VirtualTokenConfig config, bool trains, Generator random, string name)
        : base(model, random, name)
    {
        config.Validate(model.Config);
        Config = config;
        var source = new DeviceParameters(new RandomParameters(random), model.Device, DType.F32);
        var isPrefix = config.Kind == VirtualTokenKind.Prefix;
        var width = isPrefix ? model.Config.KeyValueHeads * model.Config.HeadDim : model.Config.HiddenSize;
        table = source.Parameter(
            new ParameterPath("prompt_embeddings"),
            Shape.Of(config.Count, isPrefix ? model.Config.Layers * 2 * width : width), Initializer.Normal(1));
        if (trains && isPrefix && config.PrefixProjection)
            encoder = new PrefixProjection(config, width, model.Config.Layers, source);
        else if (trains && config.Kind == VirtualTokenKind.PTuning)
            encoder = new PTuningEncoder(config, width, source, random);
        folded = encoder is null;
        tokens = isPrefix ? new Prefix(this) : new Prompt(this);
    }

    /// <summary>The config.</summary>
    public VirtualTokenConfig Config { get; }

    /// <summary>True while an encoder makes the tokens, in training.</summary>
    public bool HasEncoder => encoder is not null;

    /// <inheritdoc/>
    public override string Description => Config.Kind switch
    {
        VirtualTokenKind.Prefix =>
            $"prefix tuning, {Config.Count} virtual tokens{(Config.PrefixProjection ? ", projected" : "")}",
        VirtualTokenKind.Prompt => $"prompt tuning, {Config.Count} virtual tokens",
        _ => $"P-tuning, {Config.Count} virtual tokens from an {(Config.Lstm ? "LSTM" : "MLP")}",
    };

    /// <summary>A new adapter with random tokens, active and trainable; the base is frozen.</summary>
    /// <exception cref="UserErrorException">The config does not fit the model.</exception>
    public static VirtualTokenAdapter Create(
        CausalLM model, VirtualTokenConfig config, Generator random, string name = "default")
    {
        var adapter = new VirtualTokenAdapter(model, config, trains: true, random, name);
        adapter.Begin();
        return adapter;
    }

    /// <summary>An adapter from a PEFT folder, active and frozen.</summary>
    public static VirtualTokenAdapter Load(
        CausalLM model, string folder, string name = "default", Generator? random = null)
    {
        var adapter = new VirtualTokenAdapter(
            model, VirtualTokenConfig.Read(folder), trains: false, random ?? new Generator(0), name);
        adapter.LoadFrom(folder);
        return adapter;
    }

    /// <summary>
    /// Lets the tokens begin as those of a text: as its embeddings, or for a prefix as the keys and values that the
    /// model has for it. It is cut or repeated to their number.
    /// </summary>
    /// <exception cref="UserErrorException">The text is empty, or an encoder makes the tokens.</exception>
    public void BeginAs(IReadOnlyList<int> text)
    {
        if (encoder is not null)
            throw new UserErrorException(
                (Config.Kind == VirtualTokenKind.Prefix ? "prefix_projection" : "encoder_reparameterization_type")
                + " makes the virtual tokens: they cannot begin as a text (prompt_tuning_init_text)");
        if (text.Count == 0)
            throw new UserErrorException("prompt_tuning_init_text must have at least one token, but is empty");
        using var scope = TensorScope.Begin();
        using var noGrad = GradMode.NoGrad();
        var ids = Tensor.From(
            [.. Enumerable.Range(0, Config.Count).Select(i => text[i % text.Count])], Shape.Of(1, Config.Count),
            Model.Device);
        table.Value.CopyFrom(Config.Kind == VirtualTokenKind.Prefix
            ? OfText(ids)
            : Model.Embedding.Weight.Value.Embedding(ids).ToArray());
    }

    /// <inheritdoc/>
    public override IEnumerable<Parameter> TrainableParameters() => encoder?.Parameters() ?? [table];

    /// <inheritdoc/>
    public override void Save(string folder, SafetensorsDType dtype = SafetensorsDType.F32)
    {
        RequireAlive();
        using var scope = TensorScope.Begin();
        using var noGrad = GradMode.NoGrad();
        PeftFiles.Write([new PeftSlot(table.Path.Value, Table())], folder, dtype);
        Config.Write(folder, Model.Config);
    }

    internal override bool HasHostWork => true;

    internal override IEnumerable<(string Name, Tensor Value)> TrainingState() =>
        encoder?.Parameters().Select(p => (p.Path.Value, p.Value)) ?? [];

    internal override void TrainingStateRead() => folded = encoder is null;

    private protected override void Attach(bool on) => Model.VirtualTokens = on ? tokens : null;

    private protected override void ReadValues(string folder)
    {
        IgnoredTensors = PeftFiles.Read([new PeftSlot(table.Path.Value, table.Value)], folder);
        folded = true;
    }

    private protected override void MergeWeights() => throw new UserErrorException(
        $"{Description}, cannot be merged: the tokens (num_virtual_tokens) are input, not weights");

    private protected override void UnmergeWeights()
    {
    }

    /// <inheritdoc/>
    protected override void Dispose(bool disposing)
    {
        table.Dispose();
        encoder?.Dispose();
    }

    private Tensor Table()
    {
        if (folded)
            return table.Value;
        encoder!.Training = Model.Training;
        return encoder.Forward();
    }

    // (N, L 2 D), [layer 0 K | layer 0 V | layer 1 K | ...], as the cache has them.
    private float[] OfText(Tensor ids)
    {
        var (count, width) = (Config.Count, Model.Config.KeyValueHeads * Model.Config.HeadDim);
        Model.VirtualTokens = null;
        using var cache = new KvCache(Model.Config, 1, count, Model.Placement);
        Model.Hidden(ids, cache, [count]);
        Model.VirtualTokens = IsActive ? tokens : null;
        var rows = new float[table.Value.Count];
        for (var layer = 0; layer < Model.Config.Layers; layer++)
        {
            var (keys, values) = cache.Of(layer);
            Put(keys.ToArray(), 2 * layer);
            Put(values.ToArray(), (2 * layer) + 1);
        }
        return rows;

        void Put(float[] from, int block)
        {
            for (var t = 0; t < count; t++)
                from.AsSpan(t * width, width).CopyTo(
                    rows.AsSpan((t * rows.Length / count) + (block * width), width));
        }
    }

    private sealed class Prompt(VirtualTokenAdapter owner) : VirtualTokens
    {
        public override int Count => owner.Config.Count;

        public override bool AreEmbeddings => true;

        public override Tensor Embeddings() => owner.Table();
    }

    private sealed class Prefix(VirtualTokenAdapter owner) : VirtualTokens
    {
        public override int Count => owner.Config.Count;

        public override bool AreEmbeddings => false;

        public override (Tensor Keys, Tensor Values)? KeysAndValues(int layer)
        {
            var config = owner.Model.Config;
            var width = config.KeyValueHeads * config.HeadDim;
            var shape = Shape.Of(Count, config.KeyValueHeads, config.HeadDim);
            return (Columns(2 * layer * width), Columns(((2 * layer) + 1) * width));

            Tensor Columns(int start) => (owner.folded
                ? owner.table.Value.Slice(1, start, width)
                : ((PrefixProjection)owner.encoder!).Forward(start, width)).Reshape(shape);
        }
    }
}
