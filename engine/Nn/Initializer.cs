namespace CudaLora.Engine;

/// <summary>How a parameter that no file holds is filled.</summary>
/// <param name="Kind">Distribution.</param>
/// <param name="Value">The constant, the standard deviation or the half-width.</param>
public readonly record struct Initializer(InitializerKind Kind, float Value)
{
    /// <summary>All zeros.</summary>
    public static Initializer Zeros => new(InitializerKind.Constant, 0);

    /// <summary>All ones.</summary>
    public static Initializer Ones => new(InitializerKind.Constant, 1);

    /// <summary>N(0, deviation²).</summary>
    public static Initializer Normal(float deviation) => new(InitializerKind.Normal, deviation);

    /// <summary>U(-bound, bound).</summary>
    public static Initializer Uniform(float bound) => new(InitializerKind.Uniform, bound);

    /// <summary>PyTorch's default for a linear layer, Kaiming-uniform with a = √5: U(±1/√in).</summary>
    public static Initializer KaimingUniform(int fanIn) => Uniform(1 / MathF.Sqrt(fanIn));
}

/// <summary>Distributions of <see cref="Initializer"/>.</summary>
public enum InitializerKind
{
    /// <summary>Every element the same.</summary>
    Constant,

    /// <summary>Normal with mean 0.</summary>
    Normal,

    /// <summary>Uniform around 0.</summary>
    Uniform,
}
