namespace CudaLora.Engine;

/// <summary>Takes a linear layer's place in the forward pass: LoRA, DoRA, IA3, a quantised base.</summary>
public interface ILinearAdapter
{
    /// <summary>Output of the adapted layer for <paramref name="x"/> (..., in): (..., out).</summary>
    Tensor Forward(Linear linear, Tensor x);
}

/// <summary>y = x Wᵀ + b, with a slot for an adapter.</summary>
public sealed class Linear : Module
{
    private Parameter? weight;
    private QuantizedTensor? aside;
    private readonly bool sharesWeight;
    private int adaptersOnWeight;

    /// <summary>A layer whose parameters <c>weight</c> (out, in) and <c>bias</c> (out) come from a source.</summary>
    /// <param name="path">Name of the layer.</param>
    /// <param name="inFeatures">Width of x.</param>
    /// <param name="outFeatures">Width of y.</param>
    /// <param name="bias">Whether there is a bias.</param>
    /// <param name="source">Where the values come from.</param>
    /// <param name="deviation">Standard deviation of new weights; null for PyTorch's Kaiming-uniform default.</param>
    /// <param name="isConv1D">True for GPT-2's layer type, whose file holds the weights as (in, out).</param>
    public Linear(
        ParameterPath path, int inFeatures, int outFeatures, bool bias, ParameterSource source, float? deviation = null,
        bool isConv1D = false)
        : base(path)
    {
        IsConv1D = isConv1D;
        var init = deviation is { } d ? Initializer.Normal(d) : Initializer.KaimingUniform(inFeatures);
        var shape = Shape.Of(outFeatures, inFeatures);
        Quantized = source.GetQuantized(path / "weight", shape, init, isConv1D);
        if (Quantized is null)
            weight = Own(source.Parameter(path / "weight", shape, init, isConv1D));
        if (bias)
        {
            var biasInit = deviation is null ? init : Initializer.Zeros;
            Bias = Own(source.Parameter(path / "bias", Shape.Of(outFeatures), biasInit));
        }
    }

    /// <summary>A trainable layer of its own with fresh weights, as torch.nn.Linear.</summary>
    /// <param name="inFeatures">Width of x.</param>
    /// <param name="outFeatures">Width of y.</param>
    /// <param name="random">Where the weights are drawn from: U(±1/√in).</param>
    /// <param name="bias">Whether there is a bias.</param>
    /// <param name="name">Name of the layer, in messages and files.</param>
    public Linear(int inFeatures, int outFeatures, Generator random, bool bias = true, string name = "linear")
        : this(new ParameterPath(name), inFeatures, outFeatures, bias, new RandomParameters(random)) =>
        SetTrainable(true);

    /// <summary>A layer without bias that shares its weight with another, an output layer with the embedding; that one
    /// owns it.</summary>
    public Linear(ParameterPath path, Parameter tied)
        : base(path) => (weight, sharesWeight) = (tied, true);

    /// <summary>True when files hold the weights transposed, (in, out): PEFT's fan_in_fan_out.</summary>
    public bool IsConv1D { get; }

    /// <summary>Weights (out, in).</summary>
    /// <exception cref="InvalidOperationException">They are 4-bit.</exception>
    public Parameter Weight => weight ?? throw new InvalidOperationException(
        $"[linear] weight must be a tensor of floats, but is 4-bit ({Path})");

    /// <summary>The weights when they are 4-bit and frozen, or null.</summary>
    public QuantizedTensor? Quantized { get; private set; }

    /// <summary>Bias (out), or null.</summary>
    public Parameter? Bias { get; private set; }

    /// <summary>Width of the input.</summary>
    public int InFeatures => Quantized?.Shape[1] ?? Weight.Value.Shape[1];

    /// <summary>Width of the output.</summary>
    public int OutFeatures => Quantized?.Shape[0] ?? Weight.Value.Shape[0];

    /// <summary>Where the weights are.</summary>
    public Device Device => Quantized?.Device ?? Weight.Value.Device;

    /// <summary>The adapter that computes this layer's output, or null for the plain layer.</summary>
    public ILinearAdapter? Adapter { get; set; }

    /// <summary>Output for <paramref name="x"/> (..., in): (..., out).</summary>
    public Tensor Forward(Tensor x) =>
        Adapter is { } adapter ? adapter.Forward(this, x) : Plain(x);

    /// <summary>Output without the adapter.</summary>
    public Tensor Plain(Tensor x) =>
        Quantized is { } codes ? x.QuantizedLinear(codes, Bias?.Value) : x.Linear(Weight, Bias?.Value);

    /// <summary>Gives a layer without bias one of zeros, which changes nothing yet.</summary>
    public void AddBias()
    {
        if (Bias is not null)
            return;
        var zeros = Tensor.Owned(Shape.Of(OutFeatures), device: Device);
        zeros.Clear();
        Bias = Own(new Parameter(Path / "bias", zeros));
    }

    /// <summary>
    /// Lays the frozen BF16 weight on a CUDA device out with room for an adapter's matrices beside and below it, so
    /// that layer and adapter are one matrix without a second copy. It holds until <see cref="ReleaseAdapterRoom"/> was
    /// called as often. Weights of other types, and those shared with an embedding, stay as they are.
    /// </summary>
    public void ReserveAdapterRoom()
    {
        if (weight is { } floats && !sharesWeight)
            floats.Value.MakeAdapterRoom();
        adaptersOnWeight++;
    }

    /// <summary>
    /// Undoes one <see cref="ReserveAdapterRoom"/>. The weight keeps its room where no memory is left to move it to:
    /// products read it either way.
    /// </summary>
    public void ReleaseAdapterRoom()
    {
        if (--adaptersOnWeight > 0 || weight is not { } floats || sharesWeight)
            return;
        try
        {
            floats.Value.RemoveAdapterRoom();
        }
        catch (DeviceMemoryException)
        {
        }
    }

    /// <summary>Exchanges the 4-bit weights for others of the same shape; the former are released.</summary>
    public void Requantize(QuantizedTensor weights)
    {
        if (Quantized is null || weights.Shape != Quantized.Shape)
            throw new ArgumentException(
                $"[linear] 4-bit weights must replace such of one shape, but got {weights.Shape} ({Path})");
        Quantized.Dispose();
        Quantized = weights;
    }

    /// <summary>Puts the values of 4-bit weights in their place, F32 and frozen; the codes are kept aside.</summary>
    public void Dequantize()
    {
        if (Quantized is not { } codes)
            return;
        var values = codes.Dequantize();
        if (Device.Kind != DeviceKind.Cpu)
        {
            var host = values;
            values = Tensor.Owned(host.Shape, DType.F32, Device);
            values.CopyFrom(host);
            host.Dispose();
        }
        weight = Own(new Parameter(Path / "weight", values));
        (aside, Quantized) = (codes, null);
    }

    /// <summary>Undoes <see cref="Dequantize"/>: the codes come back bit for bit.</summary>
    public void RestoreQuantized()
    {
        if (aside is null)
            return;
        Disown(weight!);
        weight!.Dispose();
        (weight, Quantized, aside) = (null, aside, null);
    }

    /// <inheritdoc/>
    protected override void Dispose(bool disposing)
    {
        base.Dispose(disposing);
        if (!disposing)
            return;
        Quantized?.Dispose();
        aside?.Dispose();
        (Quantized, aside) = (null, null);
    }
}
