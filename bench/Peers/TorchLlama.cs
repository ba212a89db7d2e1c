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
internal sealed partial class TorchLlama : IDisposable
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

    /// <summary>The engine's model, with copies of its weights and adapters.</summary>
    public static TorchLlama Of(EngineLlama model, LlamaSize size, double scale) => new(
        size, model.Model.Parameters().ToDictionary(p => p.Path.Value, Copy),
        model.Trained.ToDictionary(p => p.Path.Value, Copy), scale);

    /// <summary>Whether the adapters take part; without them the model is PPO's reference.</summary>
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
    public Tensor Loss(Tensor ids, Tensor labels)
    {
        var logits = Logits(Hidden(ids, null)); // (B, T, V)
        return F.cross_entropy(logits.view(-1, size.Vocabulary), labels.flatten());
    }

    /// <summary>Logits (..., V) of hidden states (..., C).</summary>
    public Tensor Logits(Tensor hidden) => F.linear(hidden, weights["lm_head.weight"]);

    public void Dispose()
    {
        optimizer.Dispose();
        foreach (var tensor in weights.Values.Concat(adapters.Values))
            tensor.Dispose();
        cos.Dispose();
        sin.Dispose();
    }

    // ids (B, T) to (B, T, C); with a cache they follow what it holds, and the caller counts them there.
    private Tensor Hidden(Tensor ids, Cache? cache)
    {
        var x = weights["model.embed_tokens.weight"].index_select(0, ids.flatten())
            .view(ids.shape[0], ids.shape[1], size.Hidden);
        for (var layer = 0; layer < size.Layers; layer++)
            x = Block(layer, x, cache);
        return Norm(x, "model.norm.weight");
    }

    private Tensor Block(int layer, Tensor x, Cache? cache)
    {
        var p = $"model.layers.{layer}.";
        var start = cache?.Length ?? 0;
        var h = Norm(x, p + "input_layernorm.weight");
        var q = Rotate(Heads(Linear(p + "self_attn.q_proj", h)), start);
        var k = Rotate(Heads(Linear(p + "self_attn.k_proj", h)), start);
        var v = Heads(Linear(p + "self_attn.v_proj", h));
        if (cache is not null)
            (k, v) = cache.Append(layer, k, v);
        // A single query sees every key.
        var mixed = F.scaled_dot_product_attention(q, k, v, is_casual: start == 0); // (B, H, T, D)
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

    private Tensor Rotate(Tensor x, int start)
    {
        var half = size.HeadSize / 2;
        var turned = cat([-x.slice(-1, half, size.HeadSize, 1), x.slice(-1, 0, half, 1)], -1);
        var count = x.shape[2];
        return x * cos.narrow(0, start, count) + turned * sin.narrow(0, start, count);
    }

    private static Tensor Copy(Engine.Parameter parameter) =>
        tensor(parameter.Value.ToArray(), OpContest.Extents(parameter.Value.Shape));
}
