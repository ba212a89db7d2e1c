#!/usr/bin/env python3
"""LoRA linear layers in PyTorch, forward and backward, against the bare product.

Peers: `peft` with bf16 adapters, `peft` as it comes (fp32 adapters under bf16 autocast), the former through
torch.compile. Where PEFT is not installed, a module with the same operations in the same order stands for it, and the
rows say so. Every peer's output is checked against float64 before it is timed.

    python3 lora_linear.py --json out.json [--shapes 8192x4096x4096 ...] [--rank 16] [--repeats 50] [--device cpu]
"""
import argparse
import json
import math

import torch

from timing import flush_buffer, median_ms, versions

try:
    from peft import LoraConfig, inject_adapter_in_model
except ImportError:
    LoraConfig = None


class PlainLora(torch.nn.Module):
    """The operations of PEFT's lora.Linear.forward without dropout."""

    def __init__(self, base, rank, alpha, adapter_dtype):
        super().__init__()
        self.base, self.scaling = base, alpha / rank
        self.lora_A = torch.nn.Linear(base.in_features, rank, bias=False, dtype=adapter_dtype, device=base.weight.device)
        self.lora_B = torch.nn.Linear(rank, base.out_features, bias=False, dtype=adapter_dtype, device=base.weight.device)

    def forward(self, x):
        y = self.base(x)
        return (y + self.lora_B(self.lora_A(x.to(self.lora_A.weight.dtype))) * self.scaling).to(y.dtype)


def adapted(base, rank, alpha, adapter_dtype):
    """base with a LoRA adapter, and the adapter's two matrices."""
    if LoraConfig is None:
        layer = PlainLora(base, rank, alpha, adapter_dtype)
        return layer, layer.lora_A.weight, layer.lora_B.weight
    holder = torch.nn.ModuleDict({"layer": base})
    config = LoraConfig(r=rank, lora_alpha=alpha, lora_dropout=0.0, target_modules=["layer"])
    inject_adapter_in_model(config, holder)
    layer = holder["layer"]
    a, b = layer.lora_A["default"], layer.lora_B["default"]
    a.to(adapter_dtype), b.to(adapter_dtype)
    return layer, a.weight, b.weight


def check(layer, base, a, b, scaling, autocast):
    """The layer computes W x + s B A x to bf16's precision."""
    x = torch.randn(64, base.in_features, dtype=base.weight.dtype, device=base.weight.device)
    with autocast():
        y = layer(x).double()
    x64 = x.double()
    exact = x64 @ base.weight.double().T + scaling * (x64 @ a.double().T) @ b.double().T
    error = ((y - exact).norm() / exact.norm()).item()
    if not error < 2e-2:
        raise SystemExit(f"the peer is wrong: relative error {error}")
    return error


def rows_of(m, n, k, rank, repeats, device, compiled):
    torch.manual_seed(1)
    buffer, dtype, alpha = flush_buffer(device), torch.bfloat16, 2 * rank
    x = torch.randn(m, k, dtype=dtype, device=device)
    dy = torch.randn(m, n, dtype=dtype, device=device)
    weight = torch.randn(n, k, dtype=dtype, device=device) / math.sqrt(k)
    rows = []

    def row(name, forward, backward, error=None, note=""):
        (ms_f, spread), (ms_b, _) = (median_ms(f, device, repeats, buffer) for f in (forward, backward))
        rows.append(dict(
            name=name, m=m, n=n, k=k, rank=rank, forward_ms=ms_f, backward_ms=ms_b, spread=spread, error=error,
            note=note, forward_tflops=2e-9 * m * n * k / ms_f))

    row("bare product", lambda: x @ weight.T, lambda: dy @ weight)
    kinds = [("peft, bf16 adapters", torch.bfloat16, False, False), ("peft, defaults", torch.float32, True, False)]
    if compiled:
        kinds.append(("peft, bf16 adapters, torch.compile", torch.bfloat16, False, True))
    for name, adapter_dtype, cast, compile_ in kinds:
        base = torch.nn.Linear(k, n, bias=False, dtype=dtype, device=device)
        base.weight.data.copy_(weight)
        base.weight.requires_grad_(False)
        layer, a, b = adapted(base, rank, alpha, adapter_dtype)
        torch.nn.init.normal_(b, std=0.02)
        run = torch.compile(layer) if compile_ else layer

        def autocast():
            return torch.autocast(device.type, dtype=dtype, enabled=cast)

        error = check(run, base, a, b, alpha / rank, autocast)
        input_ = x.clone().requires_grad_(True)

        def forward():
            with autocast():
                return run(input_)

        def step():
            forward().backward(dy)
            input_.grad = a.grad = b.grad = None

        (ms_f, spread), (ms_s, _) = (median_ms(f, device, repeats, buffer) for f in (forward, step))
        rows.append(dict(
            name=name, m=m, n=n, k=k, rank=rank, forward_ms=ms_f, backward_ms=ms_s - ms_f, spread=spread, error=error,
            note="" if LoraConfig else "PEFT's operations without PEFT", forward_tflops=2e-9 * m * n * k / ms_f))
    return rows


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--json", required=True)
    parser.add_argument("--shapes", nargs="+", default=["8192x4096x4096", "2048x4096x4096", "8192x14336x4096"])
    parser.add_argument("--rank", type=int, default=16)
    parser.add_argument("--repeats", type=int, default=50)
    parser.add_argument("--device", default="cuda")
    parser.add_argument("--no-compile", action="store_true")
    options = parser.parse_args()
    device, rows = torch.device(options.device), []
    for shape in options.shapes:
        m, n, k = (int(part) for part in shape.split("x"))
        rows += rows_of(m, n, k, options.rank, options.repeats, device, not options.no_compile)
        for r in rows[-4:]:
            print(f"{shape:>18}  {r['name']:<36} forward {r['forward_ms']:8.3f} ms  backward {r['backward_ms']:8.3f} ms")
    with open(options.json, "w", encoding="utf-8") as out:
        json.dump({"versions": versions(device), "rows": rows}, out, indent=1)


if __name__ == "__main__":
    main()
