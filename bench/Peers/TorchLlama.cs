using TorchSharp;
using TorchSharp.Modules;
using static TorchSharp.torch;
using F = TorchSharp.torch.nn.functional;

namespace CudaLora.Peers;

/// <summary>
/// A Llama with LoRA on all linears as one writes it in TorchSharp: fused attention, everything else from the torch
/// functions, base weights frozen. Weights and adapters carry Hugging Face's names; both belong to the model from then
/// on.
/// </summary>
internal sealed class TorchLlama : IDisposable
{
    private readonly LlamaSize size;
    private readonly double scale;
    private readonly IReadOnlyDictionary<string, Tensor> weights;
    private readonly Dictionary<string, Parameter> adapters;
    private readonly Tensor cos; // (T, D)
    private readonly Tensor sin; // (T, D)
    private readonly optim.Optimizer optimizer;

    public TorchLlama(
        LlamaSize size, IReadOnlyDictionary<string, Tensor> weights, IReadOnlyDictionary<string, Tensor> adapters,
        double scale)
    {
        this.size = size;
        this.scale = scale;
        this.weights = weights;
        this.adapters = adapters.ToDictionary(pair => pair.Key, pair => new Parameter(pair.Value));
        using var scope = NewDisposeScope();
        var inverse = pow(10000f, -arange(0, size.HeadSize, 2, float32) / size.HeadSize);
        var angles = arange(0, size.Tokens, float32).unsqueeze(1) * inverse.unsqueeze(0);
        var both = cat([angles, angles], -1);
        cos = both.cos().MoveToOuterDisposeScope();
        sin = both.sin().MoveToOuterDisposeScope();
        optimizer = optim.AdamW(this.adapters.Values, lr: 1e-3, weight_decay: 0.01);
    }

    /// <summary>Whether the adapters take part; without them the model is the reference.</summary>
    public bool IsAdapted { get; set; } = true;

    /// <summary>The trained tensors by name.</summary>
    public IReadOnlyDictionary<string, Parameter> Adapters => adapters;

    /// <summary>Forward, backward, clipping to norm 1, AdamW. Returns the loss before the step.</summary>
    public float Step(Tensor ids, Tensor labels)
    {
        using var scope = NewDisposeScope();
        optimizer.zero_grad();
        var loss = Loss(ids, labels);
        loss.backward();
        nn.utils.clip_grad_norm_(adapters.Values, 1.0);
        optimizer.step();
        return loss.item<float>();
    }

    /// <summary>Mean cross-entropy; ids and labels (B, T), each label the next token, -100 ignored.</summary>
    public Tensor Loss(Tensor ids, Tensor labels) =>
        F.cross_entropy(Logits(Hidden(ids)).view(-1, size.Vocabulary), labels.flatten());

    /// <summary>Logits (..., V) of hidden states (..., C).</summary>
    public Tensor Logits(Tensor hidden) => F.linear(hidden, weights["lm_head.weight"]);

    /// <summary>The normalised last hidden states (B, T, C) of ids (B, T), which follow what the cache holds.</summary>
    public Tensor Hidden(Tensor ids, TorchCache? cache = null)
    {
        var (batch, tokens, past) = (ids.shape[0], ids.shape[1], cache?.Length ?? 0);
        var x = weights["model.embed_tokens.weight"].index_select(0, ids.flatten())
            .view(batch, tokens, size.Hidden); // (B, T, C)
        var angles = (cos.narrow(0, past, tokens), sin.narrow(0, past, tokens));
        for (var layer = 0; layer < size.Layers; layer++)
            x = Block(layer, x, angles, cache);
        cache?.Advance(tokens);
        return Norm(x, "model.norm.weight");
    }

    public void Dispose()
    {
        optimizer.Dispose();
        foreach (var tensor in weights.Values.Concat(adapters.Values))
            tensor.Dispose();
        cos.Dispose();
        sin.Dispose();
    }

    private Tensor Block(int layer, Tensor x, (Tensor Cos, Tensor Sin) angles, TorchCache? cache)
    {
        var p = $"model.layers.{layer}.";
        var h = Norm(x, p + "input_layernorm.weight");
        var q = Rotate(Heads(Linear(p + "self_attn.q_proj", h)), angles);
        var k = Rotate(Heads(Linear(p + "self_attn.k_proj", h)), angles);
        var v = Heads(Linear(p + "self_attn.v_proj", h));
        if (cache is not null)
            (k, v) = cache.Append(layer, k, v);
        // One query sees all keys; several are the first ones.
        var mixed = F.scaled_dot_product_attention(q, k, v, is_casual: q.shape[2] > 1); // (B, H, T, D)
        x += Linear(p + "self_attn.o_proj", mixed.transpose(1, 2).reshape(x.shape));
        h = Norm(x, p + "post_attention_layernorm.weight");
        var gated = F.silu(Linear(p + "mlp.gate_proj", h)) * Linear(p + "mlp.up_proj", h);
        return x + Linear(p + "mlp.down_proj", gated);
    }

    private Tensor Linear(string name, Tensor x)
    {
        var y = F.linear(x, weights[name + ".weight"]);
        if (!IsAdapted)
            return y;
        var a = adapters[name + ".lora_A.weight"];
        var b = adapters[name + ".lora_B.weight"];
        return y + F.linear(F.linear(x, a), b) * scale;
    }

    private Tensor Norm(Tensor x, string weight) =>
        x * rsqrt(x.square().mean([-1], keepdim: true) + 1e-6) * weights[weight];

    private Tensor Heads(Tensor x) => x.view(x.shape[0], x.shape[1], size.Heads, size.HeadSize).transpose(1, 2);

    private Tensor Rotate(Tensor x, (Tensor Cos, Tensor Sin) angles)
    {
        var half = size.HeadSize / 2;
        var turned = cat([-x.slice(-1, half, size.HeadSize, 1), x.slice(-1, 0, half, 1)], -1);
        return x * angles.Cos + turned * angles.Sin;
    }
}
