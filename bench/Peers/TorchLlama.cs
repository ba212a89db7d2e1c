using TorchSharp;
using TorchSharp.Modules;
using static TorchSharp.torch;
using F = TorchSharp.torch.nn.functional;

namespace CudaLora.Peers;

/// <summary>
/// A Llama with LoRA on all linears as one writes it in TorchSharp: fused attention, everything else from the torch
/// functions, base weights frozen. Weights and adapters
/// carry Hugging Face's names; both belong to the model from then on.
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
    public Tensor Loss(Tensor ids, Tensor labels)
    {
        var x = weights["model.embed_tokens.weight"].index_select(0, ids.flatten())
            .view(size.Batch, size.Tokens, size.Hidden); // (B, T, C)
        for (var layer = 0; layer < size.Layers; layer++)
            x = Block($"model.layers.{layer}.", x);
        var logits = F.linear(Norm(x, "model.norm.weight"), weights["lm_head.weight"]); // (B, T, V)
        return F.cross_entropy(logits.view(-1, size.Vocabulary), labels.flatten());
    }

    public void Dispose()
    {
        optimizer.Dispose();
        foreach (var tensor in weights.Values.Concat(adapters.Values))
            tensor.Dispose();
        cos.Dispose();
        sin.Dispose();
    }

    private Tensor Block(string p, Tensor x)
    {
        var h = Norm(x, p + "input_layernorm.weight");
        var q = Rotate(Heads(Linear(p + "self_attn.q_proj", h)));
        var k = Rotate(Heads(Linear(p + "self_attn.k_proj", h)));
        var v = Heads(Linear(p + "self_attn.v_proj", h));
        var mixed = F.scaled_dot_product_attention(q, k, v, is_casual: true); // (B, H, T, D)
        x += Linear(p + "self_attn.o_proj", mixed.transpose(1, 2).reshape(size.Batch, size.Tokens, size.Hidden));
        h = Norm(x, p + "post_attention_layernorm.weight");
        var gated = F.silu(Linear(p + "mlp.gate_proj", h)) * Linear(p + "mlp.up_proj", h);
        return x + Linear(p + "mlp.down_proj", gated);
    }

    private Tensor Linear(string name, Tensor x)
    {
        var a = adapters[name + ".lora_A.weight"];
        var b = adapters[name + ".lora_B.weight"];
        return F.linear(x, weights[name + ".weight"]) + F.linear(F.linear(x, a), b) * scale;
    }

    private Tensor Norm(Tensor x, string weight) =>
        x * rsqrt(x.square().mean([-1], keepdim: true) + 1e-6) * weights[weight];

    private Tensor Heads(Tensor x) => x.view(size.Batch, size.Tokens, size.Heads, size.HeadSize).transpose(1, 2);

    private Tensor Rotate(Tensor x)
    {
        var half = size.HeadSize / 2;
        var turned = cat([-x.slice(-1, half, size.HeadSize, 1), x.slice(-1, 0, half, 1)], -1);
        return x * cos + turned * sin;
    }
}
