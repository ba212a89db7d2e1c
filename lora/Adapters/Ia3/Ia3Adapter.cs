using CudaLora.Engine;

namespace CudaLora.Lora;

/// <summary>
/// (IA)³ (Liu et al. 2022, arXiv 2205.05638): keys, values and the inputs of the MLP's last layer are scaled by learned
/// factors, which begin as 1.
/// </summary>
public sealed class Ia3Adapter : LayerwiseAdapter
{
    private readonly Ia3Config config;
    private readonly bool fanInFanOut;
    private readonly Linear[] layers;

    private Ia3Adapter(CausalLM model, Ia3Config config, Generator random, string name)
        : base(model, random, name)
    {
        var family = model.Config.Family;
        (var expanded, layers) = config.Targets.Resolve(model, Ia3Config.UsualTargets(family));
        var feedforward = config.Feedforward ?? Ia3Config.UsualFeedforward(family);
        if (config.Feedforward is not null && !layers.Any(layer => feedforward.Matches(layer.Path.Value)))
            throw new UserErrorException(
                $"feedforward_modules must be among the target_modules {expanded.Modules}, but {feedforward} are not");
        this.config = new Ia3Config { Targets = expanded, Feedforward = feedforward };
        fanInFanOut = layers.Any(layer => layer.IsConv1D);
    }

    /// <inheritdoc/>
    public override string Description => $"(IA)3, {layers.Length} layers";

    /// <summary>A new adapter, active and trainable; the base is frozen.</summary>
    /// <exception cref="UserErrorException">The targets cannot be.</exception>
    public static Ia3Adapter Create(CausalLM model, Ia3Config config, Generator random, string name = "default")
    {
        var adapter = new Ia3Adapter(model, config, random, name);
        adapter.Begin();
        return adapter;
    }

    /// <summary>An adapter from a PEFT folder, active and frozen.</summary>
    public static Ia3Adapter Load(CausalLM model, string folder, string name = "default", Generator? random = null)
    {
        var adapter = new Ia3Adapter(model, Ia3Config.Read(folder), random ?? new Generator(0), name);
        adapter.LoadFrom(folder);
        return adapter;
    }

    /// <inheritdoc/>
    public override void Save(string folder, SafetensorsDType dtype = SafetensorsDType.F32)
    {
        RequireAlive();
        PeftFiles.Write(Slots(), folder, dtype);
        config.Write(folder, fanInFanOut);
    }

    private protected override (IReadOnlyList<string> Names, string? Task) WholeModules => config.Targets.WholeModules;

    private protected override IEnumerable<IAdapterLayer> MakeLayers() =>
        layers.Select(layer => new Ia3Layer(layer, config.Feedforward!.Matches(layer.Path.Value)));
}
