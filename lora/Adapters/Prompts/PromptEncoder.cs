using CudaLora.Engine;

namespace CudaLora.Lora;

/// <summary>Makes virtual tokens in training; only what it makes is saved.</summary>
internal abstract class PromptEncoder(ParameterPath path) : Module(path)
{
    /// <summary>The tokens (N, n).</summary>
    public abstract Tensor Forward();
}

/// <summary>
/// P-tuning's encoders as PEFT has them: embeddings through an MLP of three layers, or through an LSTM that reads them
/// both ways and an MLP of two.
/// </summary>
internal sealed class PTuningEncoder : PromptEncoder
{
    private readonly Parameter embedding; // (N, C)
    private readonly Lstm? lstm;
    private readonly Linear[] head;

    public PTuningEncoder(VirtualTokenConfig config, int width, ParameterSource source, Generator random)
        : base(new ParameterPath("prompt_encoder"))
    {
        var hidden = config.EncoderHiddenSize ?? width;
        embedding = Own(source.Parameter(
            Path / "embedding" / "weight", Shape.Of(config.Count, width), Initializer.Normal(1)));
        if (config.Lstm)
            lstm = Child(new Lstm(
                Path / "lstm_head", width, hidden, config.EncoderLayers, (float)config.EncoderDropout, source, random));
        int[] sizes = config.Lstm ? [2 * hidden, 2 * hidden, width] : [width, hidden, hidden, width];
        head = new Linear[sizes.Length - 1];
        // PyTorch numbers the activations between the layers too.
        for (var i = 0; i < head.Length; i++)
            head[i] = Child(new Linear(Path / "mlp_head" / (2 * i), sizes[i], sizes[i + 1], true, source));
    }

    public override Tensor Forward()
    {
        var x = lstm is null ? embedding.Value : lstm.Forward(embedding);
        for (var i = 0; i < head.Length; i++)
            x = head[i].Forward(i == 0 ? x : Squash.Relu(x));
        return x;
    }
}

/// <summary>
/// Embeddings through Linear, tanh, Linear: prefix tuning's projection. Each layer's part of the second linear is
/// computed where it is needed.
/// </summary>
internal sealed class PrefixProjection : PromptEncoder
{
    private readonly Parameter embedding; // (N, D)
    private readonly Linear first;
    private readonly Linear second;

    public PrefixProjection(VirtualTokenConfig config, int width, int layers, ParameterSource source)
        : base(new ParameterPath("prompt_encoder"))
    {
        var hidden = config.EncoderHiddenSize ?? width;
        embedding = Own(source.Parameter(
            Path / "embedding" / "weight", Shape.Of(config.Count, width), Initializer.Normal(1)));
        first = Child(new Linear(Path / "transform" / 0, width, hidden, true, source));
        second = Child(new Linear(Path / "transform" / 2, hidden, layers * 2 * width, true, source));
    }

    public override Tensor Forward() => second.Forward(Hidden());

    /// <summary>Columns of the result.</summary>
    public Tensor Forward(int start, int length) => Hidden().Linear(
        second.Weight.Value.Slice(0, start, length), second.Bias!.Value.Slice(0, start, length));

    private Tensor Hidden() => Squash.Tanh(first.Forward(embedding));
}
