using CudaLora.Engine;

namespace CudaLora.Lora;

/// <summary>
/// A LoRA adapter on a whole model: one <see cref="LoraLinear"/> per targeted layer, and trained copies of
/// <c>modules_to_save</c>. Several can live on one base; one is active at a time. Files are PEFT's.
/// </summary>
public sealed class LoraAdapter : LayerwiseAdapter
{
    private readonly LoraLinear[] layers;
    private readonly FullLayer[] fullLayers;
    private readonly AdapterBiases biases;
    private bool trainsA = true;

    private LoraAdapter(
        CausalLM model, LoraConfig config, IReadOnlyList<LoraTarget> targets, Generator random, string name,
        LoraInit start)
        : base(model, random, name)
    {
        Config = TargetModules.Expanded(config, targets, model.ModulePaths()) with
        {
            FanInFanOut = targets.Any(target => target.Module.Kind == ModuleKind.Conv1D),
        };
        var modules = model.Modules().ToDictionary(module => module.Path.Value);
        if (config.UseDora && targets.FirstOrDefault(t => !t.Module.IsLinear) is { Rank: > 0 } table)
            throw new UserErrorException(
                $"use_dora adapts linear layers, but target_modules has the embedding {table.Module.Path}");
        // Before the layers are made, as it may refuse.
        fullLayers = [.. SavedModules(model, config).Select(module => new FullLayer(module))];
        var first = config with { InitLoraWeights = start };
        Parts.AddRange(targets.Select(target => Part(modules[target.Module.Path], first, target, random)));
        layers = [.. Parts.OfType<LoraLinear>()];
        Parts.AddRange(fullLayers);
        var active = model.ActiveAdapter is LoraAdapter { IsMerged: false } other ? other.biases : null;
        active?.Use(false);
        biases = new AdapterBiases(BaseBiases());
        active?.Use(true);
    }

    /// <summary>The config, with the target modules it resolved to.</summary>
    public LoraConfig Config { get; }

    /// <summary>The adapted linear layers in model order.</summary>
    public IReadOnlyList<LoraLinear> Layers => layers;

    /// <inheritdoc/>
    public override string Description =>
        $"{(Config.UseDora ? "DoRA" : "LoRA")}, r {Config.R}, alpha {Config.LoraAlpha}"
        + $"{(Config.UseRsLora ? ", rsLoRA" : "")}, dropout {Config.LoraDropout}";

    /// <inheritdoc/>
    public override long AddedParameters => Parts.SelectMany(part => part.Parameters()).Sum(p => p.Value.Count);

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
        if (!Config.IsPartOfBase)
        {
            PeftFiles.Write(Slots(), folder, dtype);
            Config.Write(folder);
            return;
        }
        using var scope = TensorScope.Begin();
        var joined = layers.SelectMany(layer => Slots(layer, layer.Joined()));
        PeftFiles.Write(joined.Concat(OtherSlots()), folder, dtype);
        Config.Joined().Write(folder);
    }

    /// <inheritdoc/>
    public override IEnumerable<Parameter> TrainableParameters() => base.TrainableParameters()
        .Except(trainsA ? [] : layers.Select(layer => layer.A))
        .Concat(biases.Parameters);

    internal override bool HasHostWork => Config.UseDora;

    private protected override IEnumerable<PeftSlot> Slots() => layers
        .SelectMany(layer => ((IAdapterLayer)layer).Slots()).Concat(OtherSlots());

    private protected override void ReadValues(string folder)
    {
        if (!Config.IsPartOfBase || LoraConfig.Read(folder).IsPartOfBase)
        {
            base.ReadValues(folder);
            return;
        }
        using var scope = TensorScope.Begin();
        var read = layers.Select(layer => (layer, Values: layer.Joined())).ToArray();
        IgnoredTensors = PeftFiles.Read(
            read.SelectMany(pair => Slots(pair.layer, pair.Values)).Concat(OtherSlots()), folder);
        foreach (var (layer, values) in read)
            layer.Split(values.A, values.B);
    }

    private protected override void Attach(bool on)
    {
        base.Attach(on);
        biases.Use(on || IsMerged);
    }

    private protected override void MergeWeights()
    {
        base.MergeWeights();
        biases.Use(true);
    }

    private protected override void UnmergeWeights()
    {
        base.UnmergeWeights();
        biases.Use(IsActive);
    }

    /// <inheritdoc/>
    protected override void Dispose(bool disposing)
    {
        base.Dispose(disposing);
        biases.Dispose();
    }

    private static IAdapterLayer Part(Module module, LoraConfig config, LoraTarget target, Generator random) =>
        module is Embedding table
            ? new LoraEmbedding(table, target.Rank, target.Scale, random)
            : LoraLinear.New((Linear)module, config, target.Rank, target.Scale, random);

    private static IEnumerable<PeftSlot> Slots(LoraLinear layer, (Tensor A, Tensor B) values) =>
        [PeftSlot.Of(layer.A) with { Value = values.A }, PeftSlot.Of(layer.B) with { Value = values.B }];

    private IEnumerable<PeftSlot> OtherSlots()
    {
        foreach (var slot in Parts.Except(layers).SelectMany(part => part.Slots()))
            yield return slot;
        var adapted = layers.Select(layer => layer.Linear.Bias).ToHashSet();
        foreach (var (bias, trained) in biases.Values)
        {
            var owner = bias.Path.Value[..^".bias".Length];
            yield return new PeftSlot(
                PeftSlot.Prefix + owner + (adapted.Contains(bias) ? ".base_layer.bias" : ".bias"), trained);
        }
    }

    private IEnumerable<Parameter> BaseBiases()
    {
        var chosen = Config.Bias switch
        {
            LoraBias.All => Model.Parameters().Where(p => p.Path.Name == "bias"),
            LoraBias.LoraOnly => layers.Where(l => l.Linear.Bias is not null).Select(l => l.Linear.Bias!),
            _ => [],
        };
        // A whole layer trains the bias of its copy.
        return chosen.Except(fullLayers.SelectMany(layer => layer.Merged()));
    }

    private static List<Module> SavedModules(CausalLM model, LoraConfig config)
    {
        var found = new List<Module>();
        foreach (var wanted in config.ModulesToSave)
        {
            var count = found.Count;
            found.AddRange(model.Modules().Where(m => ModuleSelector.NameMatches(wanted, m.Path.Value)));
            // PEFT adds both names that heads of classifiers have.
            var isAbsentHead = config.TaskType == "SEQ_CLS" && wanted == "classifier";
            if (found.Count == count && !isAbsentHead)
                throw new UserErrorException(
                    $"modules_to_save must name modules of the model, but '{wanted}' is none; there are: "
                    + string.Join(", ", model.Modules().Where(m => m is Linear or Embedding)
                        .Select(m => m.Path.Name).Distinct()));
        }
        return [.. found.Distinct()];
    }
}
