using CudaLora.Engine;
using CudaLora.Kernels.Simd;

namespace CudaLora.Lora;

/// <summary>
/// y = x W0ᵀ + b + s (drop(x) (E ⊙ A)ᵀ) Bᵀ: the change of the weight is P Λ Q with P = B, Λ = diag(E), Q = A (Zhang et
/// al. 2023, arXiv 2303.10512).
/// </summary>
internal sealed unsafe class AdaLoraLayer : ILinearAdapter, IAdapterLayer
{
    private readonly Linear linear;
    private readonly float dropout;
    private readonly Generator random;
    private MergedWeight? merged;

    public AdaLoraLayer(Linear linear, AdaLoraConfig config, Generator random)
    {
        (this.linear, this.random, Scale) = (linear, random, config.Scale);
        dropout = (float)config.Lora.LoraDropout;
        var source = new DeviceParameters(new RandomParameters(random), linear.Device, DType.F32);
        var (rank, path) = (config.InitR, linear.Path);
        A = source.Parameter(path / "lora_A", Shape.Of(rank, linear.InFeatures), Initializer.Normal(0.02f));
        E = source.Parameter(path / "lora_E", Shape.Of(rank, 1), Initializer.Zeros);
        B = source.Parameter(path / "lora_B", Shape.Of(linear.OutFeatures, rank), Initializer.Normal(0.02f));
        Kept = [.. Enumerable.Repeat(true, rank)];
    }

    public Module Layer => linear;

    public ParameterPath Path => linear.Path;

    /// <summary>Q (r, in).</summary>
    public Parameter A { get; }

    /// <summary>The diagonal of Λ (r, 1).</summary>
    public Parameter E { get; }

    /// <summary>P (out, r).</summary>
    public Parameter B { get; }

    public float Scale { get; }

    /// <summary>Which of the r triplets are left.</summary>
    public bool[] Kept { get; private set; }

    public Tensor Forward(Linear layer, Tensor x)
    {
        if (merged is not null)
            return layer.Plain(x);
        var mask = layer.Training ? DropoutMask.Draw(dropout, random) : default;
        var a = A.Value.Mul(E);
        return layer.Quantized is { } codes
            ? x.LoraLinear(codes, layer.Bias?.Value, a, B, Scale, mask)
            : x.LoraLinear(layer.Weight, layer.Bias?.Value, a, B, Scale, mask);
    }

    public IEnumerable<Parameter> Parameters() => [A, B, E];

    public IEnumerable<PeftSlot> Slots() => Parameters().Select(PeftSlot.Of);

    public IEnumerable<Parameter> Merged() => linear.Quantized is null ? [linear.Weight] : [];

    public void Attach(bool on) => linear.Adapter = on ? this : null;

    /// <summary>Takes the triplets away that are not in <paramref name="kept"/>: their E becomes 0.</summary>
    public void Mask(bool[] kept)
    {
        Kept = kept;
        var values = E.Value.ToArray();
        for (var k = 0; k < values.Length; k++)
            values[k] = kept[k] ? values[k] : 0;
        E.Value.CopyFrom(values);
    }

    public void Merge() => merged ??= new MergedWeight(linear, (weight, _) =>
    {
        Tensor left = B.Value.To(Device.Cpu), right = A.Value.Mul(E).To(Device.Cpu);
        var (n, k, r) = (weight.Shape[0], weight.Shape[1], right.Shape[0]);
        Gemm.Run(
            false, false, n, k, r, Scale, left.Pointer<float>(), r, right.Pointer<float>(), k, 1,
            weight.Pointer<float>(), k);
    });

    public void Unmerge()
    {
        merged?.Undo();
        merged = null;
    }

    public void Dispose()
    {
        foreach (var parameter in Parameters())
            parameter.Dispose();
        merged?.Dispose();
    }
}
