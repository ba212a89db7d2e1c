using CudaLora.Engine;
using CudaLora.Kernels.Simd;

namespace CudaLora.Lora;

/// <summary>
/// LoRA on one linear layer: y = x W0ᵀ + b + s (drop(x) Aᵀ) Bᵀ (Hu et al. 2021, arXiv 2106.09685). It attaches to the
/// layer's adapter slot; the layer's own weights stay as they are until <see cref="Merge"/>.
/// </summary>
public sealed unsafe class LoraLinear : ILinearAdapter, IDisposable
{
    private readonly Generator? random;
    private bool wasQuantized;

    // A 16-bit weight from before the merge, which rounds; F32 comes back by subtraction.
    private Tensor? original;

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

    /// <summary>A and B, for an optimiser.</summary>
    public IEnumerable<Parameter> Parameters() => [A, B];

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
        lora.A.Trainable = lora.B.Trainable = true;
        linear.Adapter = lora;
        return lora;
    }

    /// <summary>A new adapter with a rank and scale of its own, not attached.</summary>
    internal static LoraLinear New(Linear linear, LoraConfig config, int rank, double scale, Generator random)
    {
        var (a, b) = LoraInitializers.Draw(
            config.InitLoraWeights, rank, linear.InFeatures, linear.OutFeatures, random, linear.Device);
        return new LoraLinear(linear, a, b, scale, config.LoraDropout, random);
    }

    /// <inheritdoc/>
    public Tensor Forward(Linear linear, Tensor x) => IsMerged
        ? linear.Plain(x)
        : linear.Quantized is { } codes
            ? x.LoraLinear(codes, linear.Bias?.Value, A, B, Scale, Mask(linear))
            : x.LoraLinear(linear.Weight, linear.Bias?.Value, A, B, Scale, Mask(linear));

    /// <summary>
    /// Adds s B A to the layer's weights: the adapter then costs nothing. 4-bit weights are put in floats for it.
    /// </summary>
    public void Merge() => AddToWeight(true);

    /// <summary>Takes s B A out of the layer's weights again; they return to within F32 rounding, 16-bit
    /// and 4-bit ones exactly.</summary>
    public void Unmerge() => AddToWeight(false);

    /// <summary>Releases A and B and leaves the layer's slot.</summary>
    public void Dispose()
    {
        if (Linear.Adapter == this)
            Linear.Adapter = null;
        A.Dispose();
        B.Dispose();
        original?.Dispose();
    }

    // Not a matter of GradMode: a checkpointed block runs first without recording and must draw the same mask then.
    private DropoutMask Mask(Linear linear) => linear.Training ? DropoutMask.Draw(Dropout, random) : default;

    private void AddToWeight(bool merge)
    {
        if (IsMerged == merge)
            return;
        IsMerged = merge;
        if (merge && Linear.Quantized is not null)
        {
            Linear.Dequantize();
            wasQuantized = true;
        }
        else if (wasQuantized)
        {
            Linear.RestoreQuantized();
            wasQuantized = false;
            return;
        }
        var weight = Linear.Weight.Value;
        if (!merge && original is not null)
        {
            weight.CopyFrom(original);
            original.Dispose();
            original = null;
            return;
        }
        if (merge && weight.DType != DType.F32)
            original = FullLayer.Copy(weight);
        var (n, k, r) = (Linear.OutFeatures, Linear.InFeatures, Rank);
        Tensor w = weight.OnHost(), a = A.Value.OnHost(), b = B.Value.OnHost();
        Gemm.Run(
            false, false, n, k, r, merge ? Scale : -Scale, b.Pointer<float>(), r, a.Pointer<float>(), k, 1,
            w.Pointer<float>(), k);
        if (w != weight)
            weight.Put(w);
        foreach (var (host, value) in (ReadOnlySpan<(Tensor, Tensor)>)[(w, weight), (a, A.Value), (b, B.Value)])
        {
            if (host != value)
                host.Dispose();
        }
    }
}
