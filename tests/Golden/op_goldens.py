"""Single-op goldens: inputs, outputs and gradients, computed in float64 and stored as float32.

Keys are `<op>.<name>`; `dy` is the incoming gradient, `dx` the gradient of `x`. Attention tensors are (B, T, heads, D).
"""

import torch
import torch.nn.functional as F

from reference import attention, rms_norm, rope, rope_inverse_frequencies


def make(random):
    tensors, settings = {}, {}

    def normal(*shape, std=1.0):
        # Rounded to float32 first: what is stored is exactly what the result was computed from.
        return (torch.randn(*shape, generator=random) * std).double()

    def record(op, function, inputs, constants=None, **numbers):
        leaves = {name: value.clone().requires_grad_() for name, value in inputs.items()}
        y = function(**leaves, **(constants or {}))
        dy = normal(*y.shape) if y.dim() else torch.ones((), dtype=torch.float64)
        y.backward(dy)
        tensors.update({f"{op}.{name}": value for name, value in inputs.items()})
        tensors.update({f"{op}.{name}": value.int() for name, value in (constants or {}).items()})
        tensors.update({f"{op}.y": y.detach(), f"{op}.dy": dy})
        tensors.update({f"{op}.d{name}": leaf.grad for name, leaf in leaves.items()})
        settings[op] = numbers

    def heads(count, length):
        return normal(2, length, count, 8)

    record("attention_causal", lambda q, k, v: attention(q, k, v), {"q": heads(4, 7), "k": heads(4, 7),
           "v": heads(4, 7)})
    record("attention_gqa", lambda q, k, v: attention(q, k, v), {"q": heads(4, 7), "k": heads(2, 7),
           "v": heads(2, 7)})
    record("attention_window", lambda q, k, v: attention(q, k, v, 3), {"q": heads(4, 9), "k": heads(2, 9),
           "v": heads(2, 9)}, window=3)
    record("attention_cached", lambda q, k, v: attention(q, k, v), {"q": heads(4, 3), "k": heads(1, 8),
           "v": heads(1, 8)}, first_query_position=5)

    labels = torch.tensor([3, -100, 0, 10, 7, -100, 2, 10])
    record("cross_entropy", lambda x, labels: F.cross_entropy(x, labels), {"x": normal(8, 11, std=3.0)},
           {"labels": labels}, ignore_index=-100, reduction="mean")

    record("layer_norm", lambda x, w, b: F.layer_norm(x, (13,), w, b, 1e-5),
           {"x": normal(5, 13, std=2.0), "w": 1 + normal(13, std=0.3), "b": normal(13, std=0.3)}, eps=1e-5)
    record("rms_norm", lambda x, w: rms_norm(x, w, 1e-6),
           {"x": normal(5, 13, std=2.0), "w": 1 + normal(13, std=0.3)}, eps=1e-6)

    record("gelu_exact", lambda x: F.gelu(x), {"x": normal(4, 9, std=2.0)})
    record("gelu_tanh", lambda x: F.gelu(x, approximate="tanh"), {"x": normal(4, 9, std=2.0)})
    record("silu", lambda x: F.silu(x), {"x": normal(4, 9, std=2.0)})
    record("swiglu", lambda gate, up: F.silu(gate) * up, {"gate": normal(4, 9, std=2.0), "up": normal(4, 9)})
    record("softmax", lambda x: x.softmax(-1), {"x": normal(4, 9, std=3.0)})
    record("log_softmax", lambda x: x.log_softmax(-1), {"x": normal(4, 9, std=3.0)})

    ids = torch.tensor([[1, 4, 1], [0, 4, 6]])
    record("embedding", lambda w, ids: F.embedding(ids, w), {"w": normal(7, 5)}, {"ids": ids})
    record("lora_linear", lambda x, w, a, b: F.linear(x, w) + 2.0 * F.linear(F.linear(x, a), b),
           {"x": normal(6, 10), "w": normal(12, 10), "a": normal(3, 10), "b": normal(12, 3)}, scale=2.0)

    llama3 = {"rope_type": "llama3", "factor": 8.0, "low_freq_factor": 1.0, "high_freq_factor": 4.0,
              "original_max_position_embeddings": 64}
    for name, scaling in (("default", None), ("linear", {"rope_type": "linear", "factor": 4.0}), ("llama3", llama3)):
        config = {"rope_theta": 10000.0, "rope_scaling": scaling}
        inverse = rope_inverse_frequencies(config, 16)
        tensors[f"rope_{name}.inverse_frequencies"] = inverse
        record(f"rope_{name}", lambda x: rope(x, inverse, first=11), {"x": normal(2, 5, 3, 16)}, first_position=11,
               **config)

    adamw(normal, tensors, settings)
    clip(normal, tensors, settings)
    return tensors, settings


def adamw(normal, tensors, settings):
    """Parameters after each of ten steps on given gradients; the first column's gradient is always zero."""
    parameter, gradients = normal(6, 5), normal(10, 6, 5)
    gradients[:, :, 0] = 0
    tensors["adamw.p"], tensors["adamw.g"] = parameter.clone(), gradients
    parameter.requires_grad_()
    optimizer = torch.optim.AdamW([parameter], lr=1e-2, weight_decay=0.1)
    trajectory = []
    for gradient in gradients:
        parameter.grad = gradient.clone()
        optimizer.step()
        trajectory.append(parameter.detach().clone())
    tensors["adamw.y"] = torch.stack(trajectory)
    settings["adamw"] = {"lr": 1e-2, "weight_decay": 0.1, "betas": [0.9, 0.999], "eps": 1e-8}


def clip(normal, tensors, settings):
    """torch.nn.utils.clip_grad_norm_: multiply by min(1, max_norm / (norm + 1e-6))."""
    for name, limit in (("clip_active", 1.0), ("clip_idle", 100.0)):
        values = [normal(4, 3), normal(5)]
        tensors.update({f"{name}.g{i}": value.clone() for i, value in enumerate(values)})
        parameters = [torch.zeros_like(value).requires_grad_() for value in values]
        for parameter, value in zip(parameters, values):
            parameter.grad = value.clone()
        norm = torch.nn.utils.clip_grad_norm_(parameters, limit)
        tensors.update({f"{name}.clipped{i}": parameter.grad for i, parameter in enumerate(parameters)})
        settings[name] = {"max_norm": limit, "norm": norm.item()}
