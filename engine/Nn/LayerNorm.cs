namespace CudaLora.Engine;

/// <summary>LayerNorm with a learned weight and bias over the last dimension.</summary>
public sealed class LayerNorm : Module
{
    private readonly float eps;

    /// <summary>
    /// A norm whose parameters <c>weight</c> and <c>bias</c> (n) come from a source; new ones are 1 and 0.
    /// </summary>
    public LayerNorm(ParameterPath path, int features, float eps, ParameterSource source)
        : base(path)
    {
        this.eps = eps;
        Weight = Own(source.Parameter(path / "weight", Shape.Of(features), Initializer.Ones));
        Bias = Own(source.Parameter(path / "bias", Shape.Of(features), Initializer.Zeros));
    }

    /// <summary>Weight (n).</summary>
    public Parameter Weight { get; }

    /// <summary>Bias (n).</summary>
    public Parameter Bias { get; }

    /// <summary>Normalised <paramref name="x"/> (..., n).</summary>
    public Tensor Forward(Tensor x) => x.LayerNorm(Weight, Bias, eps);
}
