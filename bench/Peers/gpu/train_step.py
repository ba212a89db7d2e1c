#!/usr/bin/env python3
"""Training steps of a randomly initialised Llama with a PEFT LoRA adapter: tokens per second, end to end.

    python3 train_step.py --json out.json [--size 0.5B 1B 8B] [--batch 4] [--length 2048] [--steps 10]
"""
import argparse
import json
import time

import torch

from timing import versions

# hidden, MLP, layers, heads, key/value heads, vocabulary: the same as the project's bench.
SIZES = {
    "tiny": (64, 176, 2, 4, 2, 512),
    "0.5B": (1024, 2816, 24, 16, 16, 32000),
    "1B": (2048, 5632, 22, 32, 4, 32000),
    "8B": (4096, 14336, 32, 32, 8, 128256),
}


def step_times(size, batch, length, steps, device, checkpointing):
    from peft import LoraConfig, get_peft_model
    from transformers import LlamaConfig, LlamaForCausalLM

    c, mlp, layers, heads, groups, vocabulary = SIZES[size]
    torch.manual_seed(1)
    config = LlamaConfig(
        hidden_size=c, intermediate_size=mlp, num_hidden_layers=layers, num_attention_heads=heads,
        num_key_value_heads=groups, vocab_size=vocabulary, max_position_embeddings=max(2048, length),
        attn_implementation="sdpa", use_cache=False)
    with torch.device(device):
        torch.set_default_dtype(torch.bfloat16)
        model = LlamaForCausalLM(config)
        torch.set_default_dtype(torch.float32)
    lora = LoraConfig(r=16, lora_alpha=32, target_modules="all-linear", task_type="CAUSAL_LM")
    model = get_peft_model(model, lora, autocast_adapter_dtype=False)
    if checkpointing:
        model.enable_input_require_grads()
        model.gradient_checkpointing_enable()
    optimizer = torch.optim.AdamW([p for p in model.parameters() if p.requires_grad], lr=1e-4)
    times = []
    for _ in range(steps + 3):
        ids = torch.randint(vocabulary, (batch, length), device=device)
        begin = time.perf_counter()
        loss = model(input_ids=ids, labels=ids).loss
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)
        loss.item()
        times.append(time.perf_counter() - begin)
    times = sorted(times[3:])
    return times[len(times) // 2]


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--json", required=True)
    parser.add_argument("--size", nargs="+", default=["0.5B", "1B"], choices=SIZES)
    parser.add_argument("--batch", type=int, default=4)
    parser.add_argument("--length", type=int, default=2048)
    parser.add_argument("--steps", type=int, default=10)
    parser.add_argument("--checkpointing", action="store_true")
    parser.add_argument("--device", default="cuda")
    options = parser.parse_args()
    device, rows = torch.device(options.device), []
    for size in options.size:
        seconds = step_times(size, options.batch, options.length, options.steps, device, options.checkpointing)
        rows.append(dict(
            name="peft, bf16 adapters, sdpa", size=size, batch=options.batch, length=options.length,
            seconds=seconds, tokens_per_second=options.batch * options.length / seconds,
            peak_bytes=torch.cuda.max_memory_allocated() if device.type == "cuda" else None))
        print(f"{size}: {rows[-1]['tokens_per_second']:.0f} tokens/s")
    with open(options.json, "w", encoding="utf-8") as out:
        json.dump({"versions": versions(device), "rows": rows}, out, indent=1)


if __name__ == "__main__":
    main()
