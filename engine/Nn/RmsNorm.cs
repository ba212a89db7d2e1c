namespace CudaLora.Engine;

/// <summary>RMSNorm with a learned weight over the last dimension.</summary>
public sealed class RmsNorm : Module
{
    private readonly float eps;

    /// <summary>A norm whose parameter <c>weight</c> (n) comes from a source; new weights are 1.</summary>
    public RmsNorm(ParameterPath path, int features, float eps, ParameterSource source)
        : base(path)
    {
        this.eps = eps;
        Weight = Own(source.Parameter(path / "weight", Shape.Of(features), Initializer.Ones));
    }

    /// <summary>Weight (n).</summary>
    public Parameter Weight { get; }

    /// <summary>Normalised <paramref name="x"/> (..., n).</summary>
    public Tensor Forward(Tensor x) => x.RmsNorm(Weight, eps);

    /// <summary>x + residual, and that normalised: <see cref="TensorOps.AddRmsNorm"/>.</summary>
    public (Tensor Sum, Tensor Norm) Forward(Tensor x, Tensor residual) => x.AddRmsNorm(residual, Weight, eps);
}
