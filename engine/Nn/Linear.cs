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
        Weight = Own(source.Parameter(path / "weight", Shape.Of(outFeatures, inFeatures), init, isConv1D));
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
        : base(path) => Weight = tied;

    /// <summary>True when files hold the weights transposed, (in, out): PEFT's fan_in_fan_out.</summary>
    public bool IsConv1D { get; }

    /// <summary>Weights (out, in).</summary>
    public Parameter Weight { get; }

    /// <summary>Bias (out), or null.</summary>
    public Parameter? Bias { get; }

    /// <summary>Width of the input.</summary>
    public int InFeatures => Weight.Value.Shape[1];

    /// <summary>Width of the output.</summary>
    public int OutFeatures => Weight.Value.Shape[0];

    /// <summary>The adapter that computes this layer's output, or null for the plain layer.</summary>
    public ILinearAdapter? Adapter { get; set; }

    /// <summary>Output for <paramref name="x"/> (..., in): (..., out).</summary>
    public Tensor Forward(Tensor x) =>
        Adapter is { } adapter ? adapter.Forward(this, x) : x.Linear(Weight, Bias?.Value);
}
