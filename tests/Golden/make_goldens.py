"""Writes the golden folders beside this script: python3 make_goldens.py [--verify MODEL_DIR GOLDEN_DIR]

Everything is computed in float64 from float32 weights and stored rounded to float32. The same run in float32 gives the
deviation that rounding alone explains; it is stored as `float32_deviation` and is the yardstick for tolerances.
"""

import json
import math
import pathlib
import platform
import sys

import torch

import op_goldens
from reference import Adapter, causal_loss, gpt2, llama, load_safetensors, save_safetensors

HERE = pathlib.Path(__file__).parent
RANK, ALPHA = 4, 8
STEPS, LEARNING_RATE, WEIGHT_DECAY, MAX_NORM = 10, 1e-3, 0.01, 1.0
BATCH, TOKENS, VOCAB, HIDDEN, INNER, LAYERS = 2, 20, 64, 32, 48, 2
LLAMA_LINEARS = ["self_attn.q_proj", "self_attn.k_proj", "self_attn.v_proj", "self_attn.o_proj",
                 "mlp.gate_proj", "mlp.up_proj", "mlp.down_proj"]
GPT2_LINEARS = ["attn.c_attn", "attn.c_proj", "mlp.c_fc", "mlp.c_proj"]


def llama_config(model_type, architecture, **changes):
    config = {
        "architectures": [architecture], "model_type": model_type, "hidden_act": "silu", "hidden_size": HIDDEN,
        "intermediate_size": INNER, "num_hidden_layers": LAYERS, "num_attention_heads": 4, "num_key_value_heads": 2,
        "vocab_size": VOCAB, "max_position_embeddings": 512, "rms_norm_eps": 1e-6, "rope_theta": 10000.0,
        "rope_scaling": None, "attention_dropout": 0.0, "initializer_range": 0.02, "tie_word_embeddings": False,
        "bos_token_id": 1, "eos_token_id": 2, "torch_dtype": "float32", "use_cache": True,
    }
    config.update(changes)
    return config


LLAMA3_SCALING = {"rope_type": "llama3", "factor": 8.0, "low_freq_factor": 1.0, "high_freq_factor": 4.0,
                  "original_max_position_embeddings": 64}
CASES = {
    "llama": llama_config("llama", "LlamaForCausalLM", attention_bias=False, mlp_bias=False),
    "llama3-rope": llama_config("llama", "LlamaForCausalLM", attention_bias=False, mlp_bias=False,
                                rope_scaling=LLAMA3_SCALING),
    "mistral-window": llama_config("mistral", "MistralForCausalLM", sliding_window=6, rms_norm_eps=1e-5),
    "qwen2": llama_config("qwen2", "Qwen2ForCausalLM", tie_word_embeddings=True, use_sliding_window=False,
                          sliding_window=4, max_window_layers=2, rope_theta=1000000.0),
    "qwen3": llama_config("qwen3", "Qwen3ForCausalLM", tie_word_embeddings=True, use_sliding_window=False,
                          sliding_window=None, max_window_layers=2, head_dim=16, attention_bias=False,
                          rope_theta=1000000.0),
    "gpt2": {
        "architectures": ["GPT2LMHeadModel"], "model_type": "gpt2", "activation_function": "gelu_new",
        "n_embd": HIDDEN, "n_head": 4, "n_inner": None, "n_layer": LAYERS, "n_positions": 32, "n_ctx": 32,
        "vocab_size": VOCAB, "layer_norm_epsilon": 1e-5, "attn_pdrop": 0.0, "embd_pdrop": 0.0, "resid_pdrop": 0.0,
        "initializer_range": 0.02, "scale_attn_weights": True, "scale_attn_by_inverse_layer_idx": False,
        "reorder_and_upcast_attn": False, "bos_token_id": 1, "eos_token_id": 2, "torch_dtype": "float32",
        "use_cache": True,
    },
}


def make_weights(config, random):
    """Random float32 weights, larger than a real initialisation so that every gradient is far from zero."""
    def normal(*shape, std):
        return torch.randn(*shape, generator=random) * std

    def linear(name, rows, columns, fan_in, bias):
        weights[name + ".weight"] = normal(rows, columns, std=fan_in ** -0.5)
        if bias:
            weights[name + ".bias"] = normal(columns if gpt else rows, std=0.1)

    def norm(name, size, bias=False):
        weights[name + ".weight"] = 1 + normal(size, std=0.1)
        if bias:
            weights[name + ".bias"] = normal(size, std=0.1)

    weights, gpt = {}, config["model_type"] == "gpt2"
    if gpt:
        weights["transformer.wte.weight"] = normal(VOCAB, HIDDEN, std=0.3)
        weights["transformer.wpe.weight"] = normal(config["n_positions"], HIDDEN, std=0.3)
        for layer in range(LAYERS):
            p = f"transformer.h.{layer}."
            norm(p + "ln_1", HIDDEN, bias=True)
            linear(p + "attn.c_attn", HIDDEN, 3 * HIDDEN, HIDDEN, bias=True)
            linear(p + "attn.c_proj", HIDDEN, HIDDEN, HIDDEN, bias=True)
            norm(p + "ln_2", HIDDEN, bias=True)
            linear(p + "mlp.c_fc", HIDDEN, 4 * HIDDEN, HIDDEN, bias=True)
            linear(p + "mlp.c_proj", 4 * HIDDEN, HIDDEN, 4 * HIDDEN, bias=True)
        norm("transformer.ln_f", HIDDEN, bias=True)
        return weights
    heads, groups = config["num_attention_heads"], config["num_key_value_heads"]
    head_dim = config.get("head_dim") or HIDDEN // heads
    bias = config["model_type"] == "qwen2"
    weights["model.embed_tokens.weight"] = normal(VOCAB, HIDDEN, std=0.5)
    for layer in range(LAYERS):
        p = f"model.layers.{layer}."
        norm(p + "input_layernorm", HIDDEN)
        linear(p + "self_attn.q_proj", heads * head_dim, HIDDEN, HIDDEN, bias)
        linear(p + "self_attn.k_proj", groups * head_dim, HIDDEN, HIDDEN, bias)
        linear(p + "self_attn.v_proj", groups * head_dim, HIDDEN, HIDDEN, bias)
        linear(p + "self_attn.o_proj", HIDDEN, heads * head_dim, heads * head_dim, False)
        if config["model_type"] == "qwen3":
            norm(p + "self_attn.q_norm", head_dim)
            norm(p + "self_attn.k_norm", head_dim)
        norm(p + "post_attention_layernorm", HIDDEN)
        linear(p + "mlp.gate_proj", INNER, HIDDEN, HIDDEN, False)
        linear(p + "mlp.up_proj", INNER, HIDDEN, HIDDEN, False)
        linear(p + "mlp.down_proj", HIDDEN, INNER, INNER, False)
    norm("model.norm", HIDDEN)
    if not config["tie_word_embeddings"]:
        linear("lm_head", VOCAB, HIDDEN, HIDDEN, False)
    return weights


def make_adapter(config, weights, random):
    gpt = config["model_type"] == "gpt2"
    params = {}
    for layer in range(LAYERS):
        for name in GPT2_LINEARS if gpt else LLAMA_LINEARS:
            path = f"{'transformer.h' if gpt else 'model.layers'}.{layer}.{name}"
            rows, columns = weights[path + ".weight"].shape
            fan_out, fan_in = (columns, rows) if gpt else (rows, columns)
            prefix = "base_model.model." + path
            params[prefix + ".lora_A.weight"] = torch.randn(RANK, fan_in, generator=random) * fan_in ** -0.5
            params[prefix + ".lora_B.weight"] = torch.randn(fan_out, RANK, generator=random) * 0.1
    return params


def adapter_config(config, rslora):
    gpt = config["model_type"] == "gpt2"
    targets = sorted({name.split(".")[-1] for name in (GPT2_LINEARS if gpt else LLAMA_LINEARS)})
    return {
        "alpha_pattern": {}, "auto_mapping": None, "base_model_name_or_path": None, "bias": "none",
        "corda_config": None, "eva_config": None, "exclude_modules": None, "fan_in_fan_out": gpt,
        "inference_mode": True, "init_lora_weights": True, "layer_replication": None, "layers_pattern": None,
        "layers_to_transform": None, "loftq_config": {}, "lora_alpha": ALPHA, "lora_bias": False, "lora_dropout": 0.0,
        "megatron_config": None, "megatron_core": "megatron.core", "modules_to_save": None, "peft_type": "LORA",
        "r": RANK, "rank_pattern": {}, "revision": None, "target_modules": targets, "target_parameters": None,
        "task_type": "CAUSAL_LM", "trainable_token_indices": None, "use_dora": False, "use_qalora": False,
        "use_rslora": rslora,
    }


def run(config, base, lora, scale, ids, labels, dtype):
    """Logits, loss, first gradients, and STEPS of AdamW over `base`, or over `lora` when there is one."""
    base = {name: value.to(dtype, copy=True) for name, value in base.items()}
    lora = None if lora is None else {name: value.to(dtype, copy=True) for name, value in lora.items()}
    trained = base if lora is None else lora
    for value in trained.values():
        value.requires_grad_()
    forward = gpt2 if config["model_type"] == "gpt2" else llama
    adapter = Adapter(lora, scale)
    optimizer = torch.optim.AdamW(trained.values(), lr=LEARNING_RATE, weight_decay=WEIGHT_DECAY)
    result = {"steps": []}
    for step in range(STEPS):
        optimizer.zero_grad()
        logits = forward(config, base, ids, adapter)
        loss = causal_loss(logits, labels)
        loss.backward()
        if step == 0:
            result["logits"] = logits.detach()
            result["grad"] = {name: value.grad.clone() for name, value in trained.items()}
            if lora is not None:
                transposed = config["model_type"] == "gpt2"
                result["merged"] = {name: value.detach() for name, value in adapter.merged(base, transposed).items()}
        norm = torch.nn.utils.clip_grad_norm_(trained.values(), MAX_NORM)
        optimizer.step()
        result["steps"].append({"loss": loss.item(), "grad_norm": norm.item()})
    result["trained"] = {name: value.detach() for name, value in trained.items()}
    result["final_loss"] = causal_loss(forward(config, base, ids, adapter), labels).item()
    return result


def deviation(exact, rounded):
    def largest(a, b):
        return max((a[name] - b[name]).abs().max().item() for name in a)
    return {
        "logits": largest({"": exact["logits"]}, {"": rounded["logits"]}),
        "grad": largest(exact["grad"], rounded["grad"]),
        "trained": largest(exact["trained"], rounded["trained"]),
        "trained_by_name": {name: (exact["trained"][name] - rounded["trained"][name]).abs().max().item()
                            for name in exact["trained"]
                            if (exact["trained"][name] - rounded["trained"][name]).abs().max().item() > 1e-6},
        "loss": max(abs(a["loss"] - b["loss"]) for a, b in zip(exact["steps"], rounded["steps"])),
        "grad_norm": max(abs(a["grad_norm"] - b["grad_norm"]) for a, b in zip(exact["steps"], rounded["steps"])),
    }


def write_json(path, value, sort=False):
    path.write_text(json.dumps(value, indent=2, sort_keys=sort) + "\n")


def summary(exact, rounded):
    return {"steps": exact["steps"], "final_loss": exact["final_loss"], "float32_deviation": deviation(exact, rounded)}


def write_case(name, config, seed):
    folder = HERE / name
    folder.mkdir(exist_ok=True)
    random = torch.Generator().manual_seed(seed)
    weights = make_weights(config, random)
    lora = make_adapter(config, weights, random)
    ids = torch.randint(3, VOCAB, (BATCH, TOKENS), generator=random)
    labels = ids.clone()
    labels[0, :5] = -100
    labels[0, 11] = -100
    labels[1, 14:] = -100

    write_json(folder / "config.json", config)
    save_safetensors(folder / "model.safetensors", weights)
    inputs = {"input_ids": ids.int(), "labels": labels.int()}
    info = {"made_with": versions(), "seed": seed, "batch": BATCH, "tokens": TOKENS,
            "adamw": {"lr": LEARNING_RATE, "betas": [0.9, 0.999], "eps": 1e-8, "weight_decay": WEIGHT_DECAY,
                      "max_grad_norm": MAX_NORM}, "lora": {"r": RANK, "alpha": ALPHA}}

    both = [run(config, weights, None, 0.0, ids, labels, dtype) for dtype in (torch.float64, torch.float32)]
    info["full"] = summary(*both)
    save_safetensors(folder / "full.safetensors", inputs | flatten(both[0]))
    for variant, scale in (("lora", ALPHA / RANK), ("rslora", ALPHA / math.sqrt(RANK))):
        adapter_folder = folder / ("adapter" if variant == "lora" else "adapter-rslora")
        adapter_folder.mkdir(exist_ok=True)
        write_json(adapter_folder / "adapter_config.json", adapter_config(config, variant == "rslora"), sort=True)
        save_safetensors(adapter_folder / "adapter_model.safetensors", lora)
        both = [run(config, weights, lora, scale, ids, labels, dtype) for dtype in (torch.float64, torch.float32)]
        info[variant] = summary(*both)
        keep_merged = variant == "lora" and name in ("llama", "gpt2")
        save_safetensors(folder / f"{variant}.safetensors", inputs | flatten(both[0], keep_merged))
    write_json(folder / "golden.json", info)


def flatten(result, merged=False):
    tensors = {"logits": result["logits"]}
    tensors |= {"grad." + name: value for name, value in result["grad"].items()}
    tensors |= {"trained." + name: value for name, value in result["trained"].items()}
    if merged:
        changed = {key[len("base_model.model."):-len(".lora_A.weight")] + ".weight"
                   for key in result["grad"] if key.endswith(".lora_A.weight")}
        tensors |= {"merged." + name: result["merged"][name] for name in changed}
    return tensors


def versions():
    return {"python": platform.python_version(), "torch": torch.__version__}


def verify(model, golden):
    """Runs the llama reference on a real checkpoint against tokens and losses made without torch."""
    config = json.loads((model / "config.json").read_text())
    params = load_safetensors(model / "model.safetensors")
    greedy = json.loads((golden / "tinystories656k_greedy.json").read_text())
    logits = llama(config, params, torch.tensor([greedy["tokens"][:-1]]))[0]
    start = len(greedy["prompt_ids"])
    same = logits.argmax(-1)[start - 1:].tolist() == greedy["tokens"][start:]
    worst = 0.0
    for story in json.loads((golden / "tinystories656k_nll.json").read_text())["stories"]:
        ids = torch.tensor([story["tokens"]])
        worst = max(worst, abs(causal_loss(llama(config, params, ids), ids).item() - story["mean_nll"]))
    print(f"greedy tokens equal: {same} ({len(greedy['tokens']) - start}); largest loss difference: {worst:.2e}")


if __name__ == "__main__":
    torch.set_num_threads(1)
    if sys.argv[1:2] == ["--verify"]:
        verify(pathlib.Path(sys.argv[2]), pathlib.Path(sys.argv[3]))
        sys.exit()
    for index, (case, case_config) in enumerate(CASES.items()):
        write_case(case, case_config, 1000 + index)
    (HERE / "ops").mkdir(exist_ok=True)
    op_tensors, op_settings = op_goldens.make(torch.Generator().manual_seed(2000))
    save_safetensors(HERE / "ops" / "ops.safetensors", op_tensors)
    write_json(HERE / "ops" / "ops.json", {"made_with": versions()} | op_settings)
