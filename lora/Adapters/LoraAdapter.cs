using CudaLora.Engine;

namespace CudaLora.Lora;

/// <summary>
/// A LoRA adapter on a whole model: one <see cref="LoraLinear"/> per targeted layer, and trained copies of
/// <c>modules_to_save</c>. Several can live on one base; one is active at a time. Files are PEFT's.
/// </summary>
public sealed class LoraAdapter : ModelAdapter
{
    private readonly List<LoraLinear> layers = [];
    private readonly List<FullLayer> fullLayers = [];
    private readonly AdapterBiases biases;

    private LoraAdapter(
        CausalLM model, LoraConfig config, IReadOnlyList<LoraTarget> targets, Generator random, string name)
        : base(model, random, name)
    {
        Config = TargetModules.Expanded(config, targets, model.ModulePaths()) with
        {
            FanInFanOut = targets.Any(target => target.Module.Kind == ModuleKind.Conv1D),
        };
        var linears = model.Linears().ToDictionary(linear => linear.Path.Value);
        // Before the layers are made, as it may refuse.
        fullLayers.AddRange(SavedModules(model, config).Select(module => new FullLayer(module)));
        layers.AddRange(targets.Select(target => LoraLinear.New(
            linears[target.Module.Path], config, target.Rank, target.Scale, random)));
        var active = model.ActiveAdapter is LoraAdapter { IsMerged: false } other ? other.biases : null;
        active?.Use(false);
        biases = new AdapterBiases(BaseBiases());
        active?.Use(true);
    }

    /// <summary>The config, with the target modules it resolved to.</summary>
    public LoraConfig Config { get; }

    /// <summary>The adapted layers in model order.</summary>
    public IReadOnlyList<LoraLinear> Layers => layers;

    /// <inheritdoc/>
    public override string Description =>
        $"LoRA, r {Config.R}, alpha {Config.LoraAlpha}{(Config.UseRsLora ? ", rsLoRA" : "")}, "
        + $"dropout {Config.LoraDropout}";

    /// <inheritdoc/>
    public override long AddedParameters => AdapterParameters().Sum(p => p.Value.Count);

    /// <summary>
    /// A new adapter, initialised from <paramref name="random"/>, active and trainable; the base is frozen.
    /// </summary>
    /// <exception cref="UserErrorException">A target module does not exist; the message lists those that
    /// do.</exception>
    public static LoraAdapter Create(CausalLM model, LoraConfig config, Generator random, string name = "default")
    {
        config.Validate();
        var targets = TargetModules.Resolve(config, model.ModulePaths(), model.Config.Family);
        var adapter = new LoraAdapter(model, config, targets, random, name);
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
        var adapter = new LoraAdapter(model, config, targets, random ?? new Generator(0), name);
        adapter.LoadFrom(folder);
        return adapter;
    }

    /// <inheritdoc/>
    public override void Save(string folder, SafetensorsDType dtype = SafetensorsDType.F32)
    {
        PeftFiles.Write(Slots(), folder, dtype);
        Config.Write(folder);
    }

    /// <inheritdoc/>
    public override IEnumerable<Parameter> TrainableParameters() => AdapterParameters().Concat(biases.Parameters);

    private protected override void ReadValues(string folder) => IgnoredTensors = PeftFiles.Read(Slots(), folder);

    private protected override void Attach(bool on)
    {
        foreach (var layer in layers)
            layer.Linear.Adapter = on ? layer : null;
        foreach (var layer in fullLayers)
            layer.Attach(on);
        biases.Use(on || IsMerged);
    }

    /// <summary>
    /// Adds s B A to the weights of every layer, and puts trained copies and biases in the place of the base's.
    /// </summary>
    private protected override void MergeWeights()
    {
        RequireUntied();
        foreach (var layer in layers)
            layer.Merge();
        foreach (var layer in fullLayers)
            layer.Merge();
        biases.Use(true);
    }

    private protected override void UnmergeWeights()
    {
        foreach (var layer in layers)
            layer.Unmerge();
        foreach (var layer in fullLayers)
            layer.Unmerge();
        biases.Use(IsActive);
    }

    /// <inheritdoc/>
    protected override void Dispose(bool disposing)
    {
        foreach (var layer in layers)
            layer.Dispose();
        foreach (var layer in fullLayers)
            layer.Dispose();
        biases.Dispose();
        layers.Clear();
        fullLayers.Clear();
    }

    private IEnumerable<PeftSlot> Slots()
    {
        foreach (var layer in layers)
        {
            foreach (var parameter in layer.Parameters())
                yield return PeftSlot.Of(parameter);
        }
        foreach (var layer in fullLayers)
        {
            foreach (var parameter in layer.Parameters)
                yield return PeftSlot.Of(parameter) with { Transposed = layer.IsConv1D && parameter == layer.Weight };
        }
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
        return chosen.Except(fullLayers.SelectMany(layer => layer.Replaced));
    }

    private IEnumerable<Parameter> AdapterParameters() =>
        layers.SelectMany(l => l.Parameters()).Concat(fullLayers.SelectMany(l => l.Parameters));

    private void RequireUntied()
    {
        if (!Model.Config.TieWordEmbeddings)
            return;
        var shared = Model.Embedding.Weight;
        if (layers.Any(l => l.Linear is { Quantized: null } linear && linear.Weight == shared)
            || fullLayers.Any(l => l.Replaced.Contains(shared)))
            throw new UserErrorException(
                $"an adapter on {Model.Embedding.Path} or {Model.Head.Path} cannot be merged into this model, whose " +
                "embedding and output layer are one weight (tie_word_embeddings); use the adapter as it is");
    }

    private static List<Module> SavedModules(CausalLM model, LoraConfig config)
    {
        var found = new List<Module>();
        foreach (var wanted in config.ModulesToSave)
        {
            var count = found.Count;
            found.AddRange(model.Modules().Where(m => ModuleSelector.NameMatches(wanted, m.Path.Value)));
            if (found.Count == count)
                throw new UserErrorException(
                    $"modules_to_save must name modules of the model, but '{wanted}' is none; there are: "
                    + string.Join(", ", model.Modules().Where(m => m is Linear or Embedding)
                        .Select(m => m.Path.Name).Distinct()));
        }
        return [.. found.Distinct()];
    }
}
