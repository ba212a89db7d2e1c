using CudaLora.Engine;

namespace CudaLora.Lora;

/// <summary>
/// LoRA on one linear layer: y = x W0ᵀ + b + s (drop(x) Aᵀ) Bᵀ (Hu et al. 2021, arXiv 2106.09685). It attaches to the
/// layer's adapter slot; the layer's own weights stay as they are until <see cref="Merge"/>.
/// </summary>
public sealed partial class LoraLinear : ILinearAdapter, IAdapterLayer
{
    private readonly Generator? random;
    private StartingProduct? start;
    private bool hasRoom; // in its layer's weight

    /// <summary>An adapter from given matrices, not yet attached.</summary>
    /// <param name="linear">The layer it adapts.</param>
    /// <param name="a">A (r, in), F32; owned from now on.</param>
    /// <param name="b">B (out, r), F32; owned from now on.</param>
    /// <param name="scale">s: alpha / r, or alpha / √r.</param>
    /// <param name="dropout">Probability of dropping an element of the adapter's input in training.</param>
    /// <param name="random">Stream dropout draws from.</param>
    public LoraLinear(Linear linear, Tensor a, Tensor b, double scale, double dropout = 0, Generator? random = null)
    {
        Linear = linear;
        A = new Parameter(linear.Path / "lora_A" / "weight", a);
        B = new Parameter(linear.Path / "lora_B" / "weight", b);
        Scale = (float)scale;
        Dropout = (float)dropout;
        this.random = random;
        if (a.Shape != Shape.Of(b.Shape[^1], linear.InFeatures) || b.Shape != Shape.Of(linear.OutFeatures, a.Shape[0]))
            throw new UserErrorException(
                $"{linear.Path}: A must be (r, {linear.InFeatures}) and B ({linear.OutFeatures}, r), " +
                $"but got A {a.Shape}, B {b.Shape}: the adapter is for another base model");
        linear.ReserveAdapterRoom();
        hasRoom = true;
    }

    /// <summary>The layer it adapts.</summary>
    public Linear Linear { get; }

    /// <summary>A (r, in).</summary>
    public Parameter A { get; }

    /// <summary>B (out, r).</summary>
    public Parameter B { get; }

    /// <summary>Factor s on B A.</summary>
    public float Scale { get; }

    /// <summary>Dropout probability in training.</summary>
    public float Dropout { get; }

    /// <summary>Rank r.</summary>
    public int Rank => A.Value.Shape[0];

    /// <summary>True while s B A is part of the layer's weights.</summary>
    public bool IsMerged { get; private set; }

    /// <summary>Bias of B (out), or null: <c>lora_bias</c>.</summary>
    public Parameter? BiasOnB { get; private set; }

    /// <summary>DoRA's magnitudes, or null.</summary>
    public DoraMagnitude? Dora { get; private set; }

    /// <summary>A, B and what else the adapter has, for an optimiser.</summary>
    public IEnumerable<Parameter> Parameters()
    {
        yield return A;
        yield return B;
        if (BiasOnB is not null)
            yield return BiasOnB;
        if (Dora is not null)
            yield return Dora.Vector;
    }

    /// <summary>
    /// A new adapter on <paramref name="linear"/>, initialised as the config says, attached and trainable; the layer
    /// itself is frozen.
    /// </summary>
    /// <exception cref="UserErrorException">A value of the config is out of its range.</exception>
    public static LoraLinear From(Linear linear, LoraConfig config, Generator random)
    {
        config.Validate();
        var lora = New(linear, config, config.R, config.ScaleOf(config.R, config.LoraAlpha), random);
        linear.SetTrainable(false);
        foreach (var parameter in lora.Parameters())
            parameter.Trainable = true;
        linear.Adapter = lora;
        return lora;
    }

    /// <summary>A new adapter with a rank and scale of its own, not attached.</summary>
    internal static LoraLinear New(Linear linear, LoraConfig config, int rank, double scale, Generator random)
    {
        var (a, b, fromBase) = LoraInitializers.Draw(config, rank, scale, linear, random);
        var lora = new LoraLinear(linear, a, b, scale, config.LoraDropout, random);
        if (fromBase)
            lora.start = new StartingProduct(a, b);
        if (config.UseDora)
            lora.Dora = new DoraMagnitude(lora);
        if (config.BiasOnB)
        {
            var source = new DeviceParameters(new RandomParameters(random), linear.Device, DType.F32);
            var first = config.InitLoraWeights == LoraInit.Random
                ? Initializer.KaimingUniform(rank)
                : Initializer.Zeros;
            lora.BiasOnB = source.Parameter(linear.Path / "lora_B" / "bias", Shape.Of(linear.OutFeatures), first);
        }
        return lora;
    }

    /// <inheritdoc/>
    public Tensor Forward(Linear linear, Tensor x)
    {
        if (IsMerged)
            return linear.Plain(x);
        var mask = Mask(linear);
        var y = Dora is null ? Product(x, linear.Bias?.Value, mask) : Dora.Forward(x, mask);
        return Complete(y, x);
    }

    /// <summary>Releases A and B and leaves the layer's slot.</summary>
    public void Dispose()
    {
        if (Linear.Adapter == this)
            Linear.Adapter = null;
        if (hasRoom)
            Linear.ReleaseAdapterRoom();
        hasRoom = false;
        A.Dispose();
        B.Dispose();
        BiasOnB?.Dispose();
        Dora?.Dispose();
        start?.Dispose();
        ReleaseOriginal();
    }

    Module IAdapterLayer.Layer => Linear;

    IEnumerable<PeftSlot> IAdapterLayer.Slots() => Parameters().Select(PeftSlot.Of);

    IEnumerable<Parameter> IAdapterLayer.Merged() => Linear.Quantized is null ? [Linear.Weight] : [];

    void IAdapterLayer.Attach(bool on) => Linear.Adapter = on ? this : null;

    /// <summary>x W0ᵀ + b + s (drop(x) Aᵀ) Bᵀ.</summary>
    internal Tensor Product(Tensor x, Tensor? bias, DropoutMask mask) => Linear.Quantized is { } codes
        ? x.LoraLinear(codes, bias, A, B, Scale, mask)
        : x.LoraLinear(Linear.Weight, bias, A, B, Scale, mask);

    /// <summary>True when the adapter may be computed together with others on the same x.</summary>
    internal bool SharesInput => !IsMerged && Dora is null && (Dropout == 0 || !Linear.Training);

    /// <summary>What <see cref="TensorOps.LoraLinears"/> needs of it.</summary>
    internal LoraProjection Projection => new(
        Linear.Quantized is null ? Linear.Weight.Value : null, Linear.Quantized, Linear.Bias?.Value, A, B, Scale);

    /// <summary>What comes after the product.</summary>
    internal Tensor Complete(Tensor y, Tensor x)
    {
        if (BiasOnB is not null)
            y = y.Add(BiasOnB.Value.Scale(Scale));
        return start is null ? y : start.TakeFrom(y, x, Scale);
    }

    /// <summary>A and B as a file holds them for the base as it is: with what they began as taken off.</summary>
    internal (Tensor A, Tensor B) Joined() =>
        start is null ? (A.Value, B.Value) : start.Joined(A.Value, B.Value);

    /// <summary>Takes A and B out of what <see cref="Joined"/> made.</summary>
    internal void Split(Tensor a, Tensor b) => start!.Split(Linear.Path, a, b, A.Value, B.Value);

    // Not a matter of GradMode: a checkpointed block runs first without recording and must draw the same mask then.
    private DropoutMask Mask(Linear linear) => linear.Training ? DropoutMask.Draw(Dropout, random) : default;
}
