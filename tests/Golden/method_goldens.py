"""Writes methods/methods.safetensors: layers of fine-tuning methods, computed in float64 and stored as float32.

Keys are `<case>.<name>`; `dy` is the incoming gradient, `d<name>` the gradient of <name>. Run it without arguments.
"""

import json
import pathlib
import platform

import torch
import torch.nn.functional as F

from reference import save_safetensors

HERE = pathlib.Path(__file__).parent
SCALE = 1.5


def normal(random, *shape, std=1.0):
    # Rounded to float32 first: what is stored is exactly what the result was computed from.
    return (torch.randn(*shape, generator=random) * std).double()


def lstm(random):
    """torch.nn.LSTM as P-tuning's encoder has it: two layers, both ways, one sequence of 9."""
    module = torch.nn.LSTM(4, 3, num_layers=2, bidirectional=True, batch_first=True).double()
    with torch.no_grad():
        for parameter in module.parameters():
            parameter.copy_(normal(random, *parameter.shape, std=0.6))
    x = normal(random, 1, 9, 4).requires_grad_()
    y = module(x)[0]
    dy = normal(random, *y.shape)
    y.backward(dy)
    tensors = {"x": x.detach()[0], "y": y.detach()[0], "dy": dy[0], "dx": x.grad[0]}
    for name, parameter in module.named_parameters():
        tensors |= {name: parameter.detach(), "d" + name: parameter.grad}
    return tensors


def dora(random):
    """DoRA's layer: the norm of the rows of W + s B A is a constant in backward."""
    inputs = {"x": normal(random, 5, 6), "w": normal(random, 4, 6), "bias": normal(random, 4),
              "a": normal(random, 2, 6), "b": normal(random, 4, 2), "m": normal(random, 4)}
    leaves = {name: value.clone().requires_grad_() for name, value in inputs.items()}
    x, w, bias, a, b, m = leaves.values()
    norm = (w + SCALE * b @ a).norm(dim=1).detach()
    plain = F.linear(x, w)
    y = plain + bias + (m / norm - 1) * plain + m / norm * SCALE * F.linear(F.linear(x, a), b)
    dy = normal(random, *y.shape)
    y.backward(dy)
    gradients = {"d" + name: leaves[name].grad for name in ("x", "a", "b", "m")}
    return inputs | gradients | {"y": y.detach(), "dy": dy}


if __name__ == "__main__":
    torch.set_num_threads(1)
    generator = torch.Generator().manual_seed(3000)
    made = {f"{case.__name__}.{name}": value for case in (lstm, dora) for name, value in case(generator).items()}
    (HERE / "methods").mkdir(exist_ok=True)
    save_safetensors(HERE / "methods" / "methods.safetensors", made)
    versions = {"python": platform.python_version(), "torch": torch.__version__}
    (HERE / "methods" / "methods.json").write_text(
        json.dumps({"made_with": versions, "dora": {"scale": SCALE}}, indent=1) + "\n")
