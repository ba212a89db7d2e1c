using CudaLora.Engine;

namespace CudaLora.Lora;

/// <summary>
/// One learned factor per output, y = l ⊙ (x Wᵀ + b), or, in the feed-forward part, per input, y = (l ⊙ x) Wᵀ + b.
/// </summary>
internal sealed class Ia3Layer : ILinearAdapter, IAdapterLayer
{
    private readonly Linear linear;
    private MergedWeight? merged;

    public Ia3Layer(Linear linear, bool isFeedforward)
    {
        (this.linear, IsFeedforward) = (linear, isFeedforward);
        // PEFT's shapes tell the two kinds apart.
        var shape = isFeedforward ? Shape.Of(1, linear.InFeatures) : Shape.Of(linear.OutFeatures, 1);
        var source = new DeviceParameters(new RandomParameters(new Generator(0)), linear.Device, DType.F32);
        L = source.Parameter(linear.Path / "ia3_l", shape, Initializer.Ones);
    }

    public Module Layer => linear;

    /// <summary>True when the input is scaled.</summary>
    public bool IsFeedforward { get; }

    /// <summary>l: (1, in) or (out, 1).</summary>
    public Parameter L { get; }

    public Tensor Forward(Linear layer, Tensor x)
    {
        if (merged is not null)
            return layer.Plain(x);
        var factors = L.Value.Reshape(Shape.Of((int)L.Value.Count));
        return IsFeedforward ? layer.Plain(x.Mul(factors)) : layer.Plain(x).Mul(factors);
    }

    public IEnumerable<Parameter> Parameters() => [L];

    public IEnumerable<PeftSlot> Slots() => [PeftSlot.Of(L)];

    public IEnumerable<Parameter> Merged() => linear.Quantized is null ? [linear.Weight] : [];

    public void Attach(bool on) => linear.Adapter = on ? this : null;

    public void Merge() => merged ??= new MergedWeight(linear, (weight, bias) =>
    {
        var factors = L.Value.ToArray();
        var values = weight.Span<float>();
        var width = weight.Shape[1];
        for (var i = 0; i < values.Length; i++)
            values[i] *= factors[IsFeedforward ? i % width : i / width];
        if (IsFeedforward || bias is null)
            return;
        var ofBias = bias.Span<float>();
        for (var i = 0; i < ofBias.Length; i++)
            ofBias[i] *= factors[i];
    });

    public void Unmerge()
    {
        merged?.Undo();
        merged = null;
    }

    public void Dispose()
    {
        L.Dispose();
        merged?.Dispose();
    }
}
