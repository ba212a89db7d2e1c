using CudaLora.Engine;

namespace CudaLora.Lora;

/// <summary>down(act(gate(x)) up(x)): the MLP of Llama and its relatives (Shazeer 2020, arXiv 2002.05202).</summary>
public sealed class GatedMlp : Module
{
    private readonly Activation activation;

    internal GatedMlp(ParameterPath path, ModelConfig config, ParameterSource source)
        : base(path)
    {
        activation = config.Activation;
        var (c, n, std) = (config.HiddenSize, config.IntermediateSize, (float)config.InitializerRange);
        Gate = Child(new Linear(path / "gate_proj", c, n, config.MlpBias, source, std));
        Up = Child(new Linear(path / "up_proj", c, n, config.MlpBias, source, std));
        Down = Child(new Linear(path / "down_proj", n, c, config.MlpBias, source, std));
    }

    /// <summary><c>gate_proj</c> (n, C).</summary>
    public Linear Gate { get; }

    /// <summary><c>up_proj</c> (n, C).</summary>
    public Linear Up { get; }

    /// <summary><c>down_proj</c> (C, n).</summary>
    public Linear Down { get; }

    /// <summary>(..., C) to (..., C).</summary>
    public Tensor Forward(Tensor x)
    {
        var (gate, up) = SharedInput.Forward(x, Gate, Up);
        return Down.Forward(activation == Activation.Silu
            ? gate.Swiglu(up)
            : gate.Gelu(activation == Activation.GeluTanh).Mul(up));
    }
}
