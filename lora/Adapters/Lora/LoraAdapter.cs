using CudaLora.Engine;

namespace CudaLora.Lora;

/// <summary>
/// A LoRA adapter on a whole model: one <see cref="LoraLinear"/> per targeted layer, and trained copies of
/// <c>modules_to_save</c>. Several can live on one base; one is active at a time. Files are PEFT's.
/// </summary>
public sealed class LoraAdapter : LayerwiseAdapter
{
    private readonly IReadOnlyList<LoraTarget> targets;
    private readonly Generator random;
    private readonly LoraInit start;
    private LoraLinear[] layers = [];
    private bool trainsA = true;

    private LoraAdapter(
        CausalLM model, LoraConfig config, IReadOnlyList<LoraTarget> targets, Generator random, string name,
        LoraInit start)
        : base(model, random, name)
    {
        (this.targets, this.random, this.start) = (targets, random, start);
        Config = TargetModules.Expanded(config, targets, model.ModulePaths()) with
        {
            FanInFanOut = targets.Any(target => target.Module.Kind == ModuleKind.Conv1D),
        };
        if (config.UseDora && targets.FirstOrDefault(t => !t.Module.IsLinear) is { Rank: > 0 } table)
            throw new UserErrorException(
                $"use_dora adapts linear layers, but target_modules has the embedding {table.Module.Path}");
    }

    /// <summary>The config, with the target modules it resolved to.</summary>
    public LoraConfig Config { get; }

    /// <summary>The adapted linear layers in model order.</summary>
    public IReadOnlyList<LoraLinear> Layers => layers;

    /// <inheritdoc/>
    public override string Description =>
        $"{(Config.UseDora ? "DoRA" : "LoRA")}, r {Config.R}, alpha {Config.LoraAlpha}"
        + $"{(Config.UseRsLora ? ", rsLoRA" : "")}, dropout {Config.LoraDropout}";

    /// <summary>
    /// A new adapter, initialised from <paramref name="random"/>, active and trainable; the base is frozen.
    /// </summary>
    /// <exception cref="UserErrorException">A target module does not exist; the message lists those that
    /// do.</exception>
    public static LoraAdapter Create(CausalLM model, LoraConfig config, Generator random, string name = "default")
    {
        config.Validate();
        if (config.InitLoraWeights == LoraInit.Eva)
            throw new UserErrorException(
                "init_lora_weights eva needs data to look at: use Eva.Create, or the train command");
        var targets = TargetModules.Resolve(config, model.ModulePaths(), model.Config.Family);
        var adapter = new LoraAdapter(model, config, targets, random, name, config.InitLoraWeights);
        adapter.Begin();
        return adapter;
    }

    /// <summary>An adapter from a PEFT folder, active and frozen.</summary>
    /// <exception cref="UserErrorException">Not an adapter folder, or made for another base; names and shapes are
    /// given.</exception>
    public static LoraAdapter Load(CausalLM model, string folder, string name = "default", Generator? random = null)
    {
        var config = LoraConfig.Read(folder);
        // Adapters made elsewhere may list names of several families.
        var targets = TargetModules.Resolve(
            config, model.ModulePaths(), model.Config.Family, everyNameMustMatch: false);
        // The file brings every value; only those that are a part of the base must be computed to take them out of it.
        var start = config.IsPartOfBase ? config.InitLoraWeights : LoraInit.BothZero;
        var adapter = new LoraAdapter(model, config, targets, random ?? new Generator(0), name, start);
        adapter.LoadFrom(folder);
        return adapter;
    }

    /// <summary>Leaves every A as it began and trains B alone: LoRA-FA (Zhang et al. 2023, arXiv 2308.03303).</summary>
    public void FreezeA()
    {
        trainsA = false;
        foreach (var layer in layers)
            layer.A.Trainable = false;
    }

    /// <inheritdoc/>
    public override void Save(string folder, SafetensorsDType dtype = SafetensorsDType.F32)
    {
        RequireAlive();
        if (!Config.IsPartOfBase)
        {
            PeftFiles.Write(Slots(), folder, dtype);
            Config.Write(folder);
            return;
        }
        using var scope = TensorScope.Begin();
        PeftFiles.Write(JoinedSlots(layers.Select(layer => (layer, layer.Joined()))), folder, dtype);
        Config.Joined().Write(folder);
    }

    /// <inheritdoc/>
    public override IEnumerable<Parameter> TrainableParameters() => base.TrainableParameters()
        .Except(trainsA ? [] : layers.Select(layer => layer.A));

    internal override bool HasHostWork => Config.UseDora;

    private protected override LoraBias Biases => Config.Bias;

    private protected override (IReadOnlyList<string> Names, string? Task) WholeModules =>
        (Config.ModulesToSave, Config.TaskType);

    private protected override void Make()
    {
        base.Make();
        layers = [.. Parts.OfType<LoraLinear>()];
    }

    private protected override IEnumerable<IAdapterLayer> MakeLayers()
    {
        var modules = Model.Modules().ToDictionary(module => module.Path.Value);
        var first = Config with { InitLoraWeights = start };
        return targets.Select(target => Part(modules[target.Module.Path], first, target, random));
    }

    private protected override void ReadValues(string folder)
    {
        if (!Config.IsPartOfBase || LoraConfig.Read(folder).IsPartOfBase)
        {
            base.ReadValues(folder);
            return;
        }
        using var scope = TensorScope.Begin();
        var read = layers.Select(layer => (layer, Values: layer.Joined())).ToArray();
        IgnoredTensors = PeftFiles.Read(JoinedSlots(read), folder);
        foreach (var (layer, values) in read)
            layer.Split(values.A, values.B);
    }

    private static IAdapterLayer Part(Module module, LoraConfig config, LoraTarget target, Generator random) =>
        module is Embedding table
            ? new LoraEmbedding(table, target.Rank, target.Scale, random)
            : LoraLinear.New((Linear)module, config, target.Rank, target.Scale, random);

    private IEnumerable<PeftSlot> JoinedSlots(IEnumerable<(LoraLinear Layer, (Tensor A, Tensor B) Values)> read) => read
        .SelectMany(pair => new[]
        {
            PeftSlot.Of(pair.Layer.A) with { Value = pair.Values.A },
            PeftSlot.Of(pair.Layer.B) with { Value = pair.Values.B },
        })
        .Concat(Adapted.Except(layers).SelectMany(part => part.Slots()))
        .Concat(OtherSlots());
}
