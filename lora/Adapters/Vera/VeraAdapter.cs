using CudaLora.Engine;

namespace CudaLora.Lora;

/// <summary>
/// VeRA (Kopiczko et al. 2023, arXiv 2310.11454): one pair of random frozen projections for all layers, and two small
/// vectors to train on each.
/// </summary>
public sealed class VeraAdapter : LayerwiseAdapter
{
    private readonly VeraConfig config;
    private readonly bool fanInFanOut;
    private readonly Linear[] layers;
    private readonly Generator random;
    private readonly List<Parameter> projections = []; // A (r, widest in), B (widest out, r)
    private readonly List<(Tensor Whole, Tensor Part)> parts = [];

    private VeraAdapter(CausalLM model, VeraConfig config, Generator random, string name)
        : base(model, random, name)
    {
        (var expanded, layers) = config.Targets.Resolve(model, TargetModules.DefaultFor(model.Config.Family));
        this.config = config with { Targets = expanded };
        fanInFanOut = layers.Any(layer => layer.IsConv1D);
        this.random = random;
    }

    /// <inheritdoc/>
    public override string Description => $"VeRA, r {config.R}, {layers.Length} layers on one pair of projections";

    /// <inheritdoc/>
    public override long AddedParameters => base.AddedParameters + projections.Sum(p => p.Value.Count);

    /// <summary>A new adapter, active and trainable; the base is frozen.</summary>
    /// <exception cref="UserErrorException">The config or its targets cannot be.</exception>
    public static VeraAdapter Create(CausalLM model, VeraConfig config, Generator random, string name = "default")
    {
        config.Validate();
        var adapter = new VeraAdapter(model, config, random, name);
        adapter.Begin();
        return adapter;
    }

    /// <summary>An adapter from a PEFT folder, active and frozen.</summary>
    public static VeraAdapter Load(CausalLM model, string folder, string name = "default", Generator? random = null)
    {
        var adapter = new VeraAdapter(model, VeraConfig.Read(folder), random ?? new Generator(0), name);
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

    private protected override IEnumerable<PeftSlot> Slots() =>
        base.Slots().Concat(projections.Select(p => new PeftSlot("base_model." + p.Path, p.Value)));

    private protected override IEnumerable<IAdapterLayer> MakeLayers()
    {
        var (widest, tallest) = (layers.Max(l => l.InFeatures), layers.Max(l => l.OutFeatures));
        var source = new DeviceParameters(new RandomParameters(random), Model.Device, DType.F32);
        var a = source.Parameter(new ParameterPath("vera_A"), Shape.Of(config.R, widest), Kaiming(widest));
        projections.Add(a);
        var b = source.Parameter(new ParameterPath("vera_B"), Shape.Of(tallest, config.R), Kaiming(config.R));
        projections.Add(b);
        foreach (var layer in layers)
            yield return new VeraLayer(
                layer, Part(a, Shape.Of(config.R, layer.InFeatures)), Part(b, Shape.Of(layer.OutFeatures, config.R)),
                config, random);
    }

    private protected override void ReadValues(string folder)
    {
        base.ReadValues(folder);
        using var scope = TensorScope.Begin();
        foreach (var (whole, part) in parts.Where(p => p.Whole != p.Part))
            part.CopyFrom(Cut(whole, part.Shape));
    }

    /// <inheritdoc/>
    protected override void Dispose(bool disposing)
    {
        base.Dispose(disposing);
        foreach (var (whole, part) in parts.Where(p => p.Whole != p.Part))
            part.Dispose();
        foreach (var projection in projections)
            projection.Dispose();
    }

    // PEFT draws both from U(±√(6 / fan in)): Kaiming's bound for ReLU.
    private static Initializer Kaiming(int fanIn) => Initializer.Uniform(MathF.Sqrt(6f / fanIn));

    // Layers of one size share their part.
    private Tensor Part(Tensor whole, Shape shape)
    {
        foreach (var known in parts)
        {
            if (known.Whole == whole && known.Part.Shape == shape)
                return known.Part;
        }
        using var scope = TensorScope.Begin();
        var part = shape == whole.Shape ? whole : FullLayer.Copy(Cut(whole, shape));
        parts.Add((whole, part));
        return part;
    }

    private static Tensor Cut(Tensor whole, Shape shape)
    {
        using var noGrad = GradMode.NoGrad();
        return whole.Slice(0, 0, shape[0]).Slice(1, 0, shape[1]);
    }
}
