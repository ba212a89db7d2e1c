using CudaLora.Engine;
using CudaLora.Kernels.Simd;

namespace CudaLora.Lora;

/// <summary>
/// y = x W0ᵀ + b₀ + (b ⊙ B) (d ⊙ A) drop(x): A and B are random, frozen and the first columns and rows of those that
/// all layers share; the vectors d (r) and b (out) train (Kopiczko et al. 2023, arXiv 2310.11454).
/// </summary>
internal sealed unsafe class VeraLayer : ILinearAdapter, IAdapterLayer
{
    private readonly Linear linear;
    private readonly Tensor a; // (r, in)
    private readonly Tensor b; // (out, r)
    private readonly float dropout;
    private readonly Generator random;
    private MergedWeight? merged;

    public VeraLayer(Linear linear, Tensor a, Tensor b, VeraConfig config, Generator random)
    {
        (this.linear, this.a, this.b, this.random) = (linear, a, b, random);
        dropout = (float)config.Dropout;
        var source = new DeviceParameters(new RandomParameters(random), linear.Device, DType.F32);
        D = source.Parameter(
            linear.Path / "vera_lambda_d", Shape.Of(config.R),
            new Initializer(InitializerKind.Constant, (float)config.DInitial));
        B = source.Parameter(linear.Path / "vera_lambda_b", Shape.Of(linear.OutFeatures), Initializer.Zeros);
    }

    public Module Layer => linear;

    /// <summary>d (r).</summary>
    public Parameter D { get; }

    /// <summary>b (out).</summary>
    public Parameter B { get; }

    public Tensor Forward(Linear layer, Tensor x)
    {
        if (merged is not null)
            return layer.Plain(x);
        var mask = layer.Training ? DropoutMask.Draw(dropout, random) : default;
        var (left, right) = Scaled();
        return layer.Quantized is { } codes
            ? x.LoraLinear(codes, layer.Bias?.Value, right, left, 1, mask)
            : x.LoraLinear(layer.Weight, layer.Bias?.Value, right, left, 1, mask);
    }

    public IEnumerable<Parameter> Parameters() => [B, D];

    public IEnumerable<PeftSlot> Slots() => Parameters().Select(PeftSlot.Of);

    public IEnumerable<Parameter> Merged() => linear.Quantized is null ? [linear.Weight] : [];

    public void Attach(bool on) => linear.Adapter = on ? this : null;

    public void Merge() => merged ??= new MergedWeight(linear, (weight, _) =>
    {
        var (left, right) = Scaled();
        (left, right) = (left.To(Device.Cpu), right.To(Device.Cpu));
        var (n, k, r) = (weight.Shape[0], weight.Shape[1], right.Shape[0]);
        Gemm.Run(
            false, false, n, k, r, 1, left.Pointer<float>(), r, right.Pointer<float>(), k, 1, weight.Pointer<float>(),
            k);
    });

    public void Unmerge()
    {
        merged?.Undo();
        merged = null;
    }

    public void Dispose()
    {
        B.Dispose();
        D.Dispose();
        merged?.Dispose();
    }

    private (Tensor Left, Tensor Right) Scaled() => (
        b.Mul(B.Value.Reshape(Shape.Of(b.Shape[0], 1))), a.Mul(D.Value.Reshape(Shape.Of(a.Shape[0], 1))));
}
