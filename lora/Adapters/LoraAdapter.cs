using CudaLora.Engine;

namespace CudaLora.Lora;

/// <summary>
/// A LoRA adapter on a whole model: one <see cref="LoraLinear"/> per targeted layer, and trained copies of
/// <c>modules_to_save</c>. Several can live on one base; one is active at a time. Files are PEFT's.
/// </summary>
public sealed class LoraAdapter : IDisposable
{
    private readonly List<LoraLinear> layers = [];
    private readonly List<FullLayer> fullLayers = [];

    private LoraAdapter(CausalLM model, LoraConfig config, string name)
    {
        (Model, Config, Name) = (model, config, name);
    }

    /// <summary>The base model.</summary>
    public CausalLM Model { get; }

    /// <summary>The config, with the target modules it resolved to.</summary>
    public LoraConfig Config { get; private set; }

    /// <summary>Name among the adapters of a base.</summary>
    public string Name { get; }

    /// <summary>The adapted layers in model order.</summary>
    public IReadOnlyList<LoraLinear> Layers => layers;

    /// <summary>Values in A, B and the trained copies.</summary>
    public long AddedParameters => AdapterParameters().Sum(p => p.Value.Count);

    /// <summary>Tensors of the loaded file that this adapter has no place for; for a warning.</summary>
    public IReadOnlyList<string> IgnoredTensors { get; private set; } = [];

    /// <summary>True while it takes part in the forward pass.</summary>
    public bool IsActive { get; private set; }

    internal IReadOnlyList<FullLayer> FullLayers => fullLayers;

    /// <summary>A new adapter, initialised from <paramref name="random"/>, active and trainable; the base is frozen.</summary>
    /// <exception cref="UserErrorException">A target module does not exist; the message lists those that do.</exception>
    public static LoraAdapter Create(CausalLM model, LoraConfig config, Generator random, string name = "default")
    {
        config.Validate();
        var adapter = Attach(model, config, random, name);
        model.SetTrainable(false);
        adapter.SetTrainable(true);
        adapter.Activate();
        return adapter;
    }

    /// <summary>An adapter from a PEFT folder, active and frozen.</summary>
    /// <exception cref="UserErrorException">Not an adapter folder, or made for another base; names and shapes are given.</exception>
    public static LoraAdapter Load(CausalLM model, string folder, string name = "default", Generator? random = null)
    {
        var adapter = Attach(model, LoraConfig.Read(folder), random ?? new Generator(0), name);
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

    /// <summary>Writes adapter_config.json and adapter_model.safetensors, values as F32 or rounded to 16 bits.</summary>
    public void Save(string folder, SafetensorsDType dtype = SafetensorsDType.F32) =>
        PeftFiles.Write(this, folder, dtype);

    /// <summary>Overwrites this adapter's values with those of a folder it was saved to.</summary>
    public void Restore(string folder) => PeftFiles.Read(this, folder);

    /// <summary>Puts this adapter into the forward pass, and any other out of it.</summary>
    public void Activate()
    {
        foreach (var module in Model.Modules())
        {
            if (module is Linear linear)
                linear.Adapter = null;
            else if (module is Embedding embedding)
                embedding.Adapter = null;
        }
        foreach (var layer in layers)
            layer.Linear.Adapter = layer;
        foreach (var layer in fullLayers)
            layer.Activate(true);
        Model.ActiveAdapter?.Leave();
        Model.ActiveAdapter = this;
        IsActive = true;
    }

    /// <summary>Takes this adapter out of the forward pass: the model is the base again.</summary>
    public void Deactivate()
    {
        if (!IsActive)
            return;
        foreach (var layer in layers)
            layer.Linear.Adapter = null;
        foreach (var layer in fullLayers)
            layer.Activate(false);
        Model.ActiveAdapter = null;
        IsActive = false;
    }

    /// <summary>Adds s B A to the base weights of every layer.</summary>
    public void Merge()
    {
        foreach (var layer in layers)
            layer.Merge();
    }

    /// <summary>Takes s B A out of the base weights again.</summary>
    public void Unmerge()
    {
        foreach (var layer in layers)
            layer.Unmerge();
    }

    /// <summary>Trains or freezes A, B, the trained copies and the biases the config names.</summary>
    public void SetTrainable(bool trainable)
    {
        foreach (var parameter in TrainableParameters())
            parameter.Trainable = trainable;
    }

    /// <summary>Everything that trains: A, B, trained copies, and the base biases that <c>bias</c> selects.</summary>
    public IEnumerable<Parameter> TrainableParameters() => AdapterParameters().Concat(Biases());

    /// <summary>Leaves the model and releases all values. A merged adapter stays in the base weights.</summary>
    public void Dispose()
    {
        Deactivate();
        foreach (var layer in layers)
            layer.Dispose();
        foreach (var layer in fullLayers)
            layer.Dispose();
        layers.Clear();
        fullLayers.Clear();
    }

    internal IEnumerable<Parameter> Biases() => Config.Bias switch
    {
        LoraBias.All => Model.Parameters().Where(p => p.Path.Name == "bias"),
        LoraBias.LoraOnly => layers.Where(l => l.Linear.Bias is not null).Select(l => l.Linear.Bias!),
        _ => [],
    };

    private IEnumerable<Parameter> AdapterParameters() =>
        layers.SelectMany(l => new[] { l.A, l.B }).Concat(fullLayers.SelectMany(l => l.Parameters));

    private void Leave() => IsActive = false;

    private static LoraAdapter Attach(CausalLM model, LoraConfig config, Generator random, string name)
    {
        var paths = model.ModulePaths();
        var targets = TargetModules.Resolve(config, paths, model.Config.Family);
        var linears = model.Linears().ToDictionary(linear => linear.Path.Value);
        var adapter = new LoraAdapter(model, TargetModules.Expanded(config, targets, paths), name);
        foreach (var target in targets)
        {
            if (!linears.TryGetValue(target.Module.Path, out var linear))
                throw new UserErrorException(
                    $"target_modules: LoRA on {target.Module.Path} is not supported: it is not a linear layer");
            adapter.layers.Add(LoraLinear.New(linear, config, target.Rank, target.Scale, random));
        }
        foreach (var module in SavedModules(model, config))
            adapter.fullLayers.Add(new FullLayer(module));
        model.Random = random;
        return adapter;
    }

    private static IEnumerable<Module> SavedModules(CausalLM model, LoraConfig config)
    {
        foreach (var wanted in config.ModulesToSave)
        {
            var found = model.Modules().Where(m => ModuleSelector.NameMatches(wanted, m.Path.Value)).ToList();
            if (found.Count == 0)
                throw new UserErrorException($"modules_to_save: the model has no module '{wanted}'");
            foreach (var module in found)
                yield return module;
        }
    }
}
