using CudaLora.Engine;

namespace CudaLora.Lora;

/// <summary>One layer: attention and an MLP, each added to the residual stream (B, T, C).</summary>
internal abstract class TransformerBlock(ParameterPath path, int layer) : Module(path)
{
    /// <summary>Number of the layer.</summary>
    protected int Layer { get; } = layer;

    /// <summary>(B, T, C) to (B, T, C).</summary>
    public abstract Tensor Forward(Tensor x, ForwardPass pass);

    /// <summary>(B, T, heads * D) seen as (B, T, heads, D).</summary>
    protected static Tensor Heads(Tensor x, int heads) =>
        x.Reshape(Shape.Of(x.Shape[0], x.Shape[1], heads, x.Shape[2] / heads));
}

/// <summary>A layer of Llama, Mistral, Qwen 2 or Qwen 3.</summary>
internal sealed class LlamaBlock : TransformerBlock
{
    private readonly ModelConfig config;
    private readonly RotaryTable rotary;
    private readonly RmsNorm inputNorm;
    private readonly RmsNorm postNorm;
    private readonly Linear q;
    private readonly Linear k;
    private readonly Linear v;
    private readonly Linear o;
    private readonly RmsNorm? qNorm;
    private readonly RmsNorm? kNorm;
    private readonly GatedMlp mlp;

    public LlamaBlock(
        ParameterPath path, int layer, ModelConfig config, RotaryTable rotary, ParameterSource source)
        : base(path, layer)
    {
        (this.config, this.rotary) = (config, rotary);
        var (c, d, eps) = (config.HiddenSize, config.HeadDim, (float)config.NormEps);
        var std = (float)config.InitializerRange;
        inputNorm = Child(new RmsNorm(path / "input_layernorm", c, eps, source));
        var self = path / "self_attn";
        q = Child(new Linear(self / "q_proj", c, config.Heads * d, config.QkvBias, source, std));
        k = Child(new Linear(self / "k_proj", c, config.KeyValueHeads * d, config.QkvBias, source, std));
        v = Child(new Linear(self / "v_proj", c, config.KeyValueHeads * d, config.QkvBias, source, std));
        o = Child(new Linear(self / "o_proj", config.Heads * d, c, config.AttentionOutputBias, source, std));
        if (config.QkNorm)
        {
            qNorm = Child(new RmsNorm(self / "q_norm", d, eps, source));
            kNorm = Child(new RmsNorm(self / "k_norm", d, eps, source));
        }
        postNorm = Child(new RmsNorm(path / "post_attention_layernorm", c, eps, source));
        mlp = Child(new GatedMlp(path / "mlp", config, source));
    }

    public override Tensor Forward(Tensor x, ForwardPass pass)
    {
        var (sum, normed) = postNorm.Forward(x, Attention(inputNorm.Forward(x), pass));
        return sum.Add(mlp.Forward(normed));
    }

    private Tensor Attention(Tensor x, ForwardPass pass)
    {
        var (forQuery, forKey, forValue) = SharedInput.Forward(x, q, k, v);
        var query = Heads(forQuery, config.Heads); // (B, T, H, D)
        var key = Heads(forKey, config.KeyValueHeads); // (B, T, G, D)
        var value = Heads(forValue, config.KeyValueHeads);
        if (qNorm is not null)
            (query, key) = (qNorm.Forward(query), kNorm!.Forward(key));
        (query, key) = query.RopeInPlace(key, rotary, pass.Positions);
        return o.Forward(pass.Attend(Layer, config.WindowOf(Layer), query, key, value));
    }
}

/// <summary>A layer of GPT-2: LayerNorm before each half, one projection for q, k and v, no rotation.</summary>
internal sealed class Gpt2Block : TransformerBlock
{
    private readonly ModelConfig config;
    private readonly LayerNorm norm1;
    private readonly LayerNorm norm2;
    private readonly Linear qkv;
    private readonly Linear attentionOut;
    private readonly Linear up;
    private readonly Linear down;

    public Gpt2Block(ParameterPath path, int layer, ModelConfig config, ParameterSource source)
        : base(path, layer)
    {
        this.config = config;
        var (c, n, eps) = (config.HiddenSize, config.IntermediateSize, (float)config.NormEps);
        var std = (float)config.InitializerRange;
        // Projections into the residual stream start smaller, by the number of them (Radford et al. 2019).
        var small = std / MathF.Sqrt(2 * config.Layers);
        norm1 = Child(new LayerNorm(path / "ln_1", c, eps, source));
        qkv = Child(new Linear(path / "attn" / "c_attn", c, 3 * c, true, source, std, isConv1D: true));
        attentionOut = Child(new Linear(path / "attn" / "c_proj", c, c, true, source, small, isConv1D: true));
        norm2 = Child(new LayerNorm(path / "ln_2", c, eps, source));
        up = Child(new Linear(path / "mlp" / "c_fc", c, n, true, source, std, isConv1D: true));
        down = Child(new Linear(path / "mlp" / "c_proj", n, c, true, source, small, isConv1D: true));
    }

    public override Tensor Forward(Tensor x, ForwardPass pass)
    {
        x = x.Add(Attention(norm1.Forward(x), pass));
        var h = up.Forward(norm2.Forward(x));
        h = config.Activation == Activation.Silu ? h.Silu() : h.Gelu(config.Activation == Activation.GeluTanh);
        return x.Add(down.Forward(h));
    }

    private Tensor Attention(Tensor x, ForwardPass pass)
    {
        var c = config.HiddenSize;
        var mixed = qkv.Forward(x); // (B, T, 3C)
        var query = Heads(mixed.Slice(^1, 0, c), config.Heads);
        var key = Heads(mixed.Slice(^1, c, c), config.Heads);
        var value = Heads(mixed.Slice(^1, 2 * c, c), config.Heads);
        return attentionOut.Forward(pass.Attend(Layer, 0, query, key, value));
    }
}
