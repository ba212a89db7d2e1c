using CudaLora.Engine;

namespace CudaLora.Lora;

/// <summary>
/// A LoRA adapter on a whole model: one <see cref="LoraLinear"/> per targeted layer, and trained copies of
/// <c>modules_to_save</c>. Several can live on one base; one is active at a time. Files are PEFT's.
/// </summary>
public sealed class LoraAdapter : IDisposable
{
    private readonly Generator random;
    private readonly List<LoraLinear> layers = [];
    private readonly List<FullLayer> fullLayers = [];
    private readonly AdapterBiases biases;

    private LoraAdapter(
        CausalLM model, LoraConfig config, IReadOnlyList<LoraTarget> targets, Generator random, string name)
    {
        (Model, Name, this.random) = (model, name, random);
        Config = TargetModules.Expanded(config, targets, model.ModulePaths()) with
        {
            FanInFanOut = targets.Any(target => target.Module.Kind == ModuleKind.Conv1D),
        };
        var linears = model.Linears().ToDictionary(linear => linear.Path.Value);
        // Before the layers are made, as it may refuse.
        fullLayers.AddRange(SavedModules(model, config).Select(module => new FullLayer(module)));
        layers.AddRange(targets.Select(target => LoraLinear.New(
            linears[target.Module.Path], config, target.Rank, target.Scale, random)));
        var active = model.ActiveAdapter is { IsMerged: false } other ? other.biases : null;
        active?.Use(false);
        biases = new AdapterBiases(BaseBiases());
        active?.Use(true);
    }

    /// <summary>The base model.</summary>
    public CausalLM Model { get; }

    /// <summary>The config, with the target modules it resolved to.</summary>
    public LoraConfig Config { get; }

    /// <summary>Name among the adapters of a base.</summary>
    public string Name { get; }

    /// <summary>The adapted layers in model order.</summary>
    public IReadOnlyList<LoraLinear> Layers => layers;

    /// <summary>Values in A, B and the trained copies.</summary>
    public long AddedParameters => AdapterParameters().Sum(p => p.Value.Count);

    /// <summary>Tensors of the loaded file that this adapter has no place for; for a warning.</summary>
    public IReadOnlyList<string> IgnoredTensors { get; private set; } = [];

    /// <summary>True while it takes part in the forward pass.</summary>
    public bool IsActive => Model.ActiveAdapter == this;

    /// <summary>True while it is part of the base weights.</summary>
    public bool IsMerged { get; private set; }

    internal IReadOnlyList<FullLayer> FullLayers => fullLayers;

    internal AdapterBiases Biases => biases;

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
        model.SetTrainable(false);
        adapter.SetTrainable(true);
        adapter.Activate();
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
        try
        {
            adapter.IgnoredTensors = PeftFiles.Read(adapter, folder);
            adapter.SetTrainable(false);
            adapter.Activate();
            return adapter;
        }
        catch
        {
            adapter.Dispose();
            throw;
        }
    }

    /// <summary>
    /// Writes adapter_config.json and adapter_model.safetensors, values as F32 or rounded to 16 bits.
    /// </summary>
    public void Save(string folder, SafetensorsDType dtype = SafetensorsDType.F32) =>
        PeftFiles.Write(this, folder, dtype);

    /// <summary>Overwrites this adapter's values with those of a folder it was saved to.</summary>
    public void Restore(string folder)
    {
        if (IsMerged)
            throw new InvalidOperationException("[lora] adapter must be unmerged before it is restored, but is merged");
        PeftFiles.Read(this, folder);
    }

    /// <summary>Puts this adapter into the forward pass, and any other out of it.</summary>
    public void Activate()
    {
        Model.ActiveAdapter?.Deactivate();
        foreach (var layer in layers)
            layer.Linear.Adapter = layer;
        foreach (var layer in fullLayers)
            layer.Attach(true);
        biases.Use(true);
        Model.Random = random;
        Model.ActiveAdapter = this;
    }

    /// <summary>
    /// Takes this adapter out of the forward pass: unless it is merged, the model is the base again, bit for bit.
    /// </summary>
    public void Deactivate()
    {
        if (!IsActive)
            return;
        foreach (var layer in layers)
            layer.Linear.Adapter = null;
        foreach (var layer in fullLayers)
            layer.Attach(false);
        biases.Use(IsMerged);
        Model.ActiveAdapter = null;
    }

    /// <summary>
    /// Adds s B A to the base weights of every layer, and puts trained copies and biases in the place of the base's:
    /// the model can then be saved as one without adapter. Several adapters with copies or biases of the same layers
    /// are unmerged in reverse order.
    /// </summary>
    /// <exception cref="UserErrorException">
    /// It changes a weight that the embedding and the output layer share; the merged model could not hold both.
    /// </exception>
    public void Merge()
    {
        if (IsMerged)
            return;
        RequireUntied();
        foreach (var layer in layers)
            layer.Merge();
        foreach (var layer in fullLayers)
            layer.Merge();
        biases.Use(true);
        IsMerged = true;
    }

    /// <summary>
    /// Undoes <see cref="Merge"/>. Weights with s B A return to within F32 rounding, all others bit for bit.
    /// </summary>
    public void Unmerge()
    {
        if (!IsMerged)
            return;
        foreach (var layer in layers)
            layer.Unmerge();
        foreach (var layer in fullLayers)
            layer.Unmerge();
        biases.Use(IsActive);
        IsMerged = false;
    }

    /// <summary>Trains or freezes A, B, the trained copies and the biases the config names.</summary>
    public void SetTrainable(bool trainable)
    {
        foreach (var parameter in TrainableParameters())
            parameter.Trainable = trainable;
    }

    /// <summary>Everything that trains: A, B, trained copies, and the base biases that <c>bias</c> selects.</summary>
    public IEnumerable<Parameter> TrainableParameters() => AdapterParameters().Concat(biases.Parameters);

    /// <summary>Leaves the model and releases all values. A merged adapter stays in the base weights.</summary>
    public void Dispose()
    {
        // After the model, there is nothing to put back.
        if (Model.Parameters().Any())
            Deactivate();
        foreach (var layer in layers)
            layer.Dispose();
        foreach (var layer in fullLayers)
            layer.Dispose();
        biases.Dispose();
        layers.Clear();
        fullLayers.Clear();
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
