"""Small decoder models in plain torch, with the published Hugging Face semantics and parameter names.

Letters: B batch, T tokens, C hidden, H query heads, G key/value heads, D head size, V vocabulary.
Parameters live in one dict keyed by the Hugging Face name, so a model is a function of (config, params, ids).
"""

import json
import math
import struct

import torch
import torch.nn.functional as F

DTYPES = {torch.float32: "F32", torch.float64: "F64", torch.int32: "I32"}


def save_safetensors(path, tensors):
    header, blobs, offset = {"__metadata__": {"format": "pt"}}, [], 0
    for name in sorted(tensors):
        tensor = tensors[name].detach().contiguous()
        if tensor.dtype == torch.float64:
            tensor = tensor.float()
        blob = tensor.numpy().tobytes()
        end = offset + len(blob)
        header[name] = {"dtype": DTYPES[tensor.dtype], "shape": list(tensor.shape), "data_offsets": [offset, end]}
        blobs.append(blob)
        offset = end
    text = json.dumps(header, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 8)
    with open(path, "wb") as file:
        file.write(struct.pack("<Q", len(text)) + text + b"".join(blobs))


def load_safetensors(path, dtype=torch.float64):
    data = open(path, "rb").read()
    size = struct.unpack("<Q", data[:8])[0]
    header = json.loads(data[8:8 + size])
    header.pop("__metadata__", None)
    tensors = {}
    for name, entry in header.items():
        begin, end = entry["data_offsets"]
        flat = torch.frombuffer(bytearray(data[8 + size + begin:8 + size + end]), dtype=torch.float32)
        tensors[name] = flat.reshape(entry["shape"]).to(dtype)
    return tensors


def rope_inverse_frequencies(config, head_dim):
    """theta^(-2i/D), then `linear` or `llama3` scaling as in transformers' modeling_rope_utils."""
    exponent = torch.arange(0, head_dim, 2, dtype=torch.float64) / head_dim
    inverse = config["rope_theta"] ** -exponent
    scaling = config.get("rope_scaling")
    if scaling is None:
        return inverse
    if scaling["rope_type"] == "linear":
        return inverse / scaling["factor"]
    assert scaling["rope_type"] == "llama3"
    low, high, factor = scaling["low_freq_factor"], scaling["high_freq_factor"], scaling["factor"]
    context = scaling["original_max_position_embeddings"]
    wavelength = 2 * math.pi / inverse
    smooth = (context / wavelength - low) / (high - low)
    blended = (1 - smooth) * inverse / factor + smooth * inverse
    scaled = torch.where(wavelength > context / low, inverse / factor, blended)
    return torch.where(wavelength < context / high, inverse, scaled)


def rope(x, inverse, first=0):
    """Rotate-half RoPE. x (B, T, H, D); positions first .. first + T - 1."""
    angles = torch.arange(first, first + x.shape[1], dtype=torch.float64)[:, None] * inverse[None, :]
    cos = torch.cat([angles, angles], -1).cos().to(x.dtype)[None, :, None, :]
    sin = torch.cat([angles, angles], -1).sin().to(x.dtype)[None, :, None, :]
    half = x.shape[-1] // 2
    return x * cos + torch.cat([-x[..., half:], x[..., :half]], -1) * sin


def rms_norm(x, weight, eps):
    return weight * (x * torch.rsqrt(x.pow(2).mean(-1, keepdim=True) + eps))


def attention(q, k, v, window=None):
    """Causal attention. q (B, Tq, H, D), k and v (B, Tk, G, D); the queries are the last Tq of the Tk positions.
    A query at position i sees keys j with i - window < j <= i."""
    groups = q.shape[2] // k.shape[2]
    k, v = k.repeat_interleave(groups, 2), v.repeat_interleave(groups, 2)
    scores = torch.einsum("bihd,bjhd->bhij", q, k) / math.sqrt(q.shape[-1])
    i = torch.arange(k.shape[1] - q.shape[1], k.shape[1])[:, None]
    j = torch.arange(k.shape[1])[None, :]
    visible = j <= i
    if window is not None:
        visible = visible & (j > i - window)
    scores = scores.masked_fill(~visible, float("-inf"))
    return torch.einsum("bhij,bjhd->bihd", scores.softmax(-1), v)


class Adapter:
    """LoRA on named linears, kept under PEFT's keys. `scale` is alpha / r, or alpha / sqrt(r) with rslora."""

    def __init__(self, params, scale):
        self.params, self.scale = params, scale

    def add(self, name, x, y):
        prefix = "base_model.model." + name
        if self.params is None or prefix + ".lora_A.weight" not in self.params:
            return y
        a, b = self.params[prefix + ".lora_A.weight"], self.params[prefix + ".lora_B.weight"]
        return y + self.scale * F.linear(F.linear(x, a), b)

    def merged(self, base, transposed):
        """Base weights with scale * B A added; Conv1D weights are (in, out)."""
        weights = dict(base)
        for key in self.params:
            if key.endswith(".lora_A.weight"):
                name = key[len("base_model.model."):-len(".lora_A.weight")]
                delta = self.scale * self.params[key.replace("lora_A", "lora_B")] @ self.params[key]
                weights[name + ".weight"] = base[name + ".weight"] + (delta.T if transposed else delta)
        return weights


NO_ADAPTER = Adapter(None, 0.0)


def llama(config, params, ids, adapter=NO_ADAPTER):
    """llama, mistral, qwen2 and qwen3. Returns logits (B, T, V)."""
    heads, groups = config["num_attention_heads"], config["num_key_value_heads"]
    head_dim = config.get("head_dim") or config["hidden_size"] // heads
    eps = config["rms_norm_eps"]
    inverse = rope_inverse_frequencies(config, head_dim)
    window = config.get("sliding_window") if config.get("use_sliding_window", True) else None
    batch, tokens = ids.shape
    embed = params.get("model.embed_tokens.weight", params.get("lm_head.weight"))

    def linear(name, x):
        return adapter.add(name, x, F.linear(x, params[name + ".weight"], params.get(name + ".bias")))

    x = embed[ids]
    for layer in range(config["num_hidden_layers"]):
        p = f"model.layers.{layer}."
        h = rms_norm(x, params[p + "input_layernorm.weight"], eps)
        q = linear(p + "self_attn.q_proj", h).view(batch, tokens, heads, head_dim)
        k = linear(p + "self_attn.k_proj", h).view(batch, tokens, groups, head_dim)
        v = linear(p + "self_attn.v_proj", h).view(batch, tokens, groups, head_dim)
        if p + "self_attn.q_norm.weight" in params:
            q = rms_norm(q, params[p + "self_attn.q_norm.weight"], eps)
            k = rms_norm(k, params[p + "self_attn.k_norm.weight"], eps)
        mixed = attention(rope(q, inverse), rope(k, inverse), v, window).reshape(batch, tokens, heads * head_dim)
        x = x + linear(p + "self_attn.o_proj", mixed)
        h = rms_norm(x, params[p + "post_attention_layernorm.weight"], eps)
        gated = F.silu(linear(p + "mlp.gate_proj", h)) * linear(p + "mlp.up_proj", h)
        x = x + linear(p + "mlp.down_proj", gated)
    x = rms_norm(x, params["model.norm.weight"], eps)
    return F.linear(x, params["lm_head.weight"] if "lm_head.weight" in params else embed)


def gpt2(config, params, ids, adapter=NO_ADAPTER):
    """GPT-2 with Conv1D weights (in, out), learned positions and gelu_new. Returns logits (B, T, V)."""
    heads, size, eps = config["n_head"], config["n_embd"], config["layer_norm_epsilon"]
    batch, tokens = ids.shape

    def conv1d(name, x):
        return adapter.add(name, x, x @ params[name + ".weight"] + params[name + ".bias"])

    def norm(name, x):
        return F.layer_norm(x, (size,), params[name + ".weight"], params[name + ".bias"], eps)

    x = params["transformer.wte.weight"][ids] + params["transformer.wpe.weight"][:tokens]
    for layer in range(config["n_layer"]):
        p = f"transformer.h.{layer}."
        qkv = conv1d(p + "attn.c_attn", norm(p + "ln_1", x))
        q, k, v = (part.view(batch, tokens, heads, size // heads) for part in qkv.split(size, -1))
        x = x + conv1d(p + "attn.c_proj", attention(q, k, v).reshape(batch, tokens, size))
        h = conv1d(p + "mlp.c_fc", norm(p + "ln_2", x))
        x = x + conv1d(p + "mlp.c_proj", F.gelu(h, approximate="tanh"))
    return F.linear(norm("transformer.ln_f", x), params["transformer.wte.weight"])


def causal_loss(logits, labels):
    """Hugging Face's loss: position t predicts label t + 1; mean over labels that are not -100."""
    return F.cross_entropy(logits[:, :-1].flatten(0, 1), labels[:, 1:].flatten(), ignore_index=-100)
