using CudaLora.Engine;

namespace CudaLora.Lora;

/// <summary>
/// AdaLoRA (Zhang et al. 2023, arXiv 2303.10512): every layer's change is P Λ Q, and <see cref="AdaLoraFineTuning"/>
/// takes the least important ranks away while it trains.
/// </summary>
public sealed class AdaLoraAdapter : LayerwiseAdapter
{
    private readonly IReadOnlyList<LoraTarget> targets;
    private readonly Generator random;
    private AdaLoraLayer[] layers = [];
    private bool pruned;

    private AdaLoraAdapter(CausalLM model, AdaLoraConfig config, IReadOnlyList<LoraTarget> targets, Generator random,
        string name)
        : base(model, random, name)
    {
        (this.targets, this.random) = (targets, random);
        if (targets.FirstOrDefault(t => !t.Module.IsLinear) is { Rank: > 0 } table)
            throw new UserErrorException(
                $"AdaLoRA (init_r) adapts linear layers, but target_modules has the embedding {table.Module.Path}");
        Config = config with
        {
            Lora = TargetModules.Expanded(config.Lora, targets, model.ModulePaths()) with
            {
                FanInFanOut = targets.Any(target => target.Module.Kind == ModuleKind.Conv1D),
            },
        };
        pruned = config.RankPattern is not null;
    }

    /// <summary>The config, with the target modules it resolved to.</summary>
    public AdaLoraConfig Config { get; private set; }

    /// <inheritdoc/>
    public override string Description =>
        $"AdaLoRA, r {Config.InitR} to {Config.TargetR} on average, alpha {Config.Lora.LoraAlpha}";

    /// <summary>The rank each adapted layer has left, in model order.</summary>
    public IReadOnlyList<(string Layer, int Rank)> Ranks =>
        [.. layers.Select(layer => (layer.Path.Value, layer.Kept.Count(kept => kept)))];

    internal IReadOnlyList<AdaLoraLayer> Layers => layers;

    /// <summary>A new adapter, active and trainable; the base is frozen.</summary>
    /// <exception cref="UserErrorException">The config or its targets cannot be.</exception>
    public static AdaLoraAdapter Create(
        CausalLM model, AdaLoraConfig config, Generator random, string name = "default")
    {
        config.Validate();
        var targets = TargetModules.Resolve(config.Lora, model.ModulePaths(), model.Config.Family);
        var adapter = new AdaLoraAdapter(model, config with { RankPattern = null }, targets, random, name);
        adapter.Begin();
        return adapter;
    }

    /// <summary>An adapter from a PEFT folder, active and frozen.</summary>
    public static AdaLoraAdapter Load(
        CausalLM model, string folder, string name = "default", Generator? random = null)
    {
        var config = AdaLoraConfig.Read(folder);
        var targets = TargetModules.Resolve(
            config.Lora, model.ModulePaths(), model.Config.Family, everyNameMustMatch: false);
        var adapter = new AdaLoraAdapter(model, config, targets, random ?? new Generator(0), name);
        adapter.LoadFrom(folder);
        return adapter;
    }

    /// <inheritdoc/>
    public override void Save(string folder, SafetensorsDType dtype = SafetensorsDType.F32)
    {
        RequireAlive();
        using var scope = TensorScope.Begin();
        using var noGrad = GradMode.NoGrad();
        var kept = layers.SelectMany(layer => Sliced(layer, layer.Kept));
        PeftFiles.Write(kept.Concat(OtherSlots()), folder, dtype);
        Config = Config with
        {
            RankPattern = pruned ? layers.ToDictionary(layer => KeyOf(layer), layer => layer.Kept) : null,
        };
        Config.Write(folder);
    }

    /// <summary>Takes triplets away: one list per layer, in model order.</summary>
    internal void Mask(bool[][] kept)
    {
        pruned = true;
        for (var i = 0; i < layers.Length; i++)
            layers[i].Mask(kept[i]);
    }

    private protected override LoraBias Biases => Config.Lora.Bias;

    private protected override (IReadOnlyList<string> Names, string? Task) WholeModules =>
        (Config.Lora.ModulesToSave, Config.Lora.TaskType);

    private protected override void Make()
    {
        base.Make();
        layers = [.. Parts.OfType<AdaLoraLayer>()];
    }

    private protected override IEnumerable<IAdapterLayer> MakeLayers()
    {
        var linears = Model.Linears().ToDictionary(linear => linear.Path.Value);
        return targets.Select(target => new AdaLoraLayer(linears[target.Module.Path], Config, random));
    }

    // The file holds the kept triplets alone; they go back to their own places, the others stay as they are but E = 0.
    private protected override void ReadValues(string folder)
    {
        var pattern = AdaLoraConfig.Read(folder).RankPattern;
        using var scope = TensorScope.Begin();
        using var noGrad = GradMode.NoGrad();
        var read = layers.Select(layer =>
        {
            var kept = pattern is null ? [.. layer.Kept.Select(_ => true)] : PatternOf(folder, pattern, layer);
            return (Layer: layer, Kept: kept, Slots: Sliced(layer, kept).ToArray());
        }).ToArray();
        IgnoredTensors = PeftFiles.Read(read.SelectMany(r => r.Slots).Concat(OtherSlots()), folder);
        pruned = pattern is not null;
        foreach (var (layer, kept, slots) in read)
        {
            Spread(slots[0].Value, layer.A.Value, kept, layer.A.Value.Shape[1], 1);
            Spread(slots[1].Value, layer.B.Value, kept, 1, layer.B.Value.Shape[0]);
            Spread(slots[2].Value, layer.E.Value, kept, 1, 1);
            layer.Mask(kept);
        }
    }

    private static bool[] PatternOf(string folder, IReadOnlyDictionary<string, bool[]> pattern, AdaLoraLayer layer)
    {
        var key = KeyOf(layer);
        return pattern.TryGetValue(key, out var kept) && kept.Length == layer.Kept.Length
            ? kept
            : throw new UserErrorException(
                $"{folder}: rank_pattern must have {layer.Kept.Length} entries for '{key}', but has "
                + (kept is null ? "none" : $"{kept.Length}"));
    }

    private static string KeyOf(AdaLoraLayer layer) => layer.E.Path.Value;

    // A, B and E without the triplets that are gone.
    private static IEnumerable<PeftSlot> Sliced(AdaLoraLayer layer, bool[] kept)
    {
        var (width, height) = (layer.A.Value.Shape[1], layer.B.Value.Shape[0]);
        var rank = kept.Count(k => k);
        yield return PeftSlot.Of(layer.A) with { Value = Gather(layer.A.Value, Shape.Of(rank, width), kept, width, 1) };
        yield return PeftSlot.Of(layer.B) with
        {
            Value = Gather(layer.B.Value, Shape.Of(height, rank), kept, 1, height),
        };
        yield return PeftSlot.Of(layer.E) with { Value = Gather(layer.E.Value, Shape.Of(rank, 1), kept, 1, 1) };
    }

    // The axis of the triplets has `outer` repeats before it and `inner` values behind each entry.
    private static Tensor Gather(Tensor from, Shape shape, bool[] kept, int inner, int outer)
    {
        var values = from.ToArray();
        var to = new List<float>((int)shape.Count);
        for (var at = 0; at < outer * kept.Length; at++)
        {
            if (kept[at % kept.Length])
                to.AddRange(values.AsSpan(at * inner, inner));
        }
        return Tensor.From([.. to], shape, Device.Cpu);
    }

    private static void Spread(Tensor from, Tensor into, bool[] kept, int inner, int outer)
    {
        float[] values = from.ToArray(), to = into.ToArray();
        var next = 0;
        for (var at = 0; at < outer * kept.Length; at++)
        {
            if (kept[at % kept.Length])
                values.AsSpan(inner * next++, inner).CopyTo(to.AsSpan(at * inner));
        }
        into.CopyFrom(to);
    }
}
