"""Alignment goldens: python3 alignment_goldens.py writes alignment/ beside this script.

Losses, gradients and every intermediate of preference methods, the reward model, PPO and GRPO on the `llama` model and
adapter of make_goldens.py. Sequences are computed one by one without padding, in float64, and stored as float32.
"""

import json
import math
import pathlib
import platform

import torch
import torch.nn.functional as F

from reference import Adapter, NO_ADAPTER, llama, load_safetensors, save_safetensors

HERE = pathlib.Path(__file__).parent
BETA, GAMMA = 0.1, 0.5
KEPT = ("layers.0.self_attn.q_proj", "layers.1.mlp.down_proj")  # gradients that are stored
# (prompt length, response length) of the rows; pairs are neighbours.
LENGTHS = [(5, 6), (5, 4), (3, 7), (3, 2), (6, 3), (6, 8)]
RESPONSE_LENGTH = 8  # of PPO: the last row has no place after its end


class Policy:
    def __init__(self, config, base, lora, heads):
        self.config, self.base, self.heads = config, base, heads
        self.lora = {name: value.clone().requires_grad_() for name, value in lora.items()}
        self.adapter = Adapter(self.lora, 8 / 4)

    def hidden(self, ids, adapter):
        """The normalised last hidden states (T, C): the model with an identity for its output layer."""
        params = dict(self.base)
        params["lm_head.weight"] = torch.eye(self.config["hidden_size"], dtype=torch.float64)
        return llama(self.config, params, ids[None], adapter)[0]

    def log_softmax(self, ids, adapter, temperature=1.0):
        return (llama(self.config, self.base, ids[None], adapter)[0] / temperature).log_softmax(-1)

    def logps(self, ids, start, reference=False, temperature=1.0):
        """Log-probabilities of ids[start:]."""
        table = self.log_softmax(ids, NO_ADAPTER if reference else self.adapter, temperature)
        return table[start - 1:-1].gather(-1, ids[start:, None])[:, 0]

    def grads(self, loss, *more):
        names = list(self.lora)
        found = torch.autograd.grad(loss, [self.lora[n] for n in names] + list(more), retain_graph=True)
        kept = {n: g for n, g in zip(names, found) if any(k in n for k in KEPT)}
        return kept, found[len(names):]


def log1mexp(x):
    return torch.log1p(-x.exp())


def preference(policy, rows, tensors, numbers):
    sums = torch.stack([policy.logps(ids, start).sum() for ids, start in rows])
    refs = torch.stack([policy.logps(ids, start, reference=True).sum() for ids, start in rows]).detach()
    lengths = torch.tensor([float(len(ids) - start) for ids, start in rows], dtype=torch.float64)
    c, r = (sums - refs)[0::2], (sums - refs)[1::2]
    delta = c - r
    mean_delta = ((sums - refs) / lengths)[0::2] - ((sums - refs) / lengths)[1::2]
    mean_c, mean_r = (sums / lengths)[0::2], (sums / lengths)[1::2]
    odds = (mean_c - mean_r) - (log1mexp(mean_c) - log1mexp(mean_r))
    tables = [policy.log_softmax(ids, policy.adapter) for ids, _ in rows[0::2]]
    whole = torch.cat([t[:-1].gather(-1, ids[1:, None])[:, 0] for t, (ids, _) in zip(tables, rows[0::2])])
    answers = torch.cat([policy.logps(ids, start) for ids, start in rows[0::2]])
    # KTO: even rows are judged (first and third desirable), odd rows are the unrelated responses.
    divergence = (sums - refs)[1::2].mean().detach().clamp(min=0)
    ratio = c
    kto = torch.stack([1.2 * (1 - torch.sigmoid(BETA * (ratio[0] - divergence))),
                       0.8 * (1 - torch.sigmoid(BETA * (divergence - ratio[1]))),
                       1.2 * (1 - torch.sigmoid(BETA * (ratio[2] - divergence)))])
    losses = {
        "sigmoid": -F.logsigmoid(BETA * delta),
        "smoothed": -0.9 * F.logsigmoid(BETA * delta) - 0.1 * F.logsigmoid(-BETA * delta),
        "robust": (-0.9 * F.logsigmoid(BETA * delta) + 0.1 * F.logsigmoid(-BETA * delta)) / 0.8,
        "hinge": torch.relu(1 - BETA * delta),
        "ipo": (mean_delta - 1 / (2 * BETA)) ** 2,
        "reference_free": -F.logsigmoid(BETA * (sums[0::2] - sums[1::2])),
        "simpo": -F.logsigmoid(2.0 * (mean_c - mean_r) - GAMMA),
        "orpo": -whole.mean() - BETA * F.logsigmoid(odds),
        "orpo_response": -answers.mean() - BETA * F.logsigmoid(odds),
        "kto": kto,
    }
    for name, loss in losses.items():
        tensors[f"{name}.losses"] = loss.detach()
        for parameter, grad in policy.grads(loss.mean())[0].items():
            tensors[f"{name}.grad.{parameter}"] = grad
    tensors |= {"sums": sums.detach(), "reference_sums": refs}
    numbers["kto_divergence"] = divergence.item()


def reward(policy, rows, tensors):
    score = policy.heads["score.weight"].clone().requires_grad_()
    margins = torch.tensor([0.5, 0.0, 1.0], dtype=torch.float64)
    values = torch.cat([policy.hidden(ids, policy.adapter)[-1] @ score.T for ids, _ in rows])
    c, r = values[0::2], values[1::2]
    loss = (-F.logsigmoid(c - r - margins)).mean() + 0.01 * ((c + r) ** 2).mean()
    grads, (head,) = policy.grads(loss, score)
    tensors |= {"reward.values": values.detach(), "reward.loss": loss.detach(), "reward.grad.score": head}
    tensors |= {f"reward.grad.{name}": grad for name, grad in grads.items()}


def padded(rows):
    width = max(len(row) for row in rows)
    return torch.stack([F.pad(row, (0, width - len(row))) for row in rows])


def masked_mean(x, mask):
    return (x * mask).sum() / mask.sum()


def masked_whiten(x, mask, shift=True):
    """Unbiased variance over what the mask keeps; 0 elsewhere."""
    mean = masked_mean(x, mask)
    variance = masked_mean((x - mean) ** 2, mask) * mask.sum() / (mask.sum() - 1)
    return ((x - mean) * torch.rsqrt(variance + 1e-8) + (0 if shift else mean)) * mask


def grid(rows, filling=0.0):
    """Rows (N, RESPONSE_LENGTH), filled up."""
    return torch.stack([F.pad(row, (0, RESPONSE_LENGTH - len(row)), value=filling) for row in rows])


def values_of(policy, ids, start, weight, bias):
    """Values of the states before each response token and after the last, cut at RESPONSE_LENGTH."""
    return (policy.hidden(ids, policy.adapter)[start - 1:] @ weight.T + bias)[:RESPONSE_LENGTH, 0]


def ppo(old, new, rows, tensors, numbers):
    """On a grid with masks, as TRL's PPOTrainer does it: the score one past the last token where there is room."""
    temperature, gamma, lam, kl_coef, clip, value_clip, vf = 0.7, 0.99, 0.95, 0.05, 0.2, 0.2, 0.1
    scores = torch.tensor([1.0, -0.5, 0.25, 2.0, -1.0, 0.5], dtype=torch.float64)
    weight, bias = (new.heads[f"v_head.summary.{n}"].clone().requires_grad_() for n in ("weight", "bias"))
    last = torch.tensor([len(ids) - start - 1 for ids, start in rows])
    index = torch.arange(RESPONSE_LENGTH)[None]
    tokens, states = (index <= last[:, None]).double(), (index <= last[:, None] + 1).double()
    lp = grid([old.logps(ids, start, temperature=temperature).detach() for ids, start in rows])
    ref = grid([old.logps(ids, start, reference=True, temperature=temperature).detach() for ids, start in rows])
    old_values = grid([values_of(old, ids, start, weight, bias).detach() for ids, start in rows])
    k1, k3 = lp - ref, (ref - lp).exp() - 1 - (ref - lp)
    rewards = -kl_coef * k1
    at = torch.where(last + 1 < RESPONSE_LENGTH, last + 1, last)
    rewards[torch.arange(len(rows)), at] += scores
    running, steps = torch.zeros(len(rows), dtype=torch.float64), []
    for t in reversed(range(RESPONSE_LENGTH)):
        following = old_values[:, t + 1] if t + 1 < RESPONSE_LENGTH else 0.0
        running = rewards[:, t] + gamma * following - old_values[:, t] + gamma * lam * running
        steps.append(running)
    raw = torch.stack(steps[::-1], 1)
    returns = raw + old_values
    advantages = masked_whiten(raw, tokens)
    tensors |= {f"ppo.{name}": value for name, value in {
        "logprobs": lp, "reference": ref, "values": old_values, "k1": k1, "k3": k3, "rewards": rewards,
        "raw_advantages": raw, "returns": returns, "advantages": advantages,
        "whitened_rewards": masked_whiten(rewards, states, shift=False)}.items()}
    tensors["ppo.scores"] = scores

    now = grid([new.logps(ids, start, temperature=temperature) for ids, start in rows])
    values = grid([values_of(new, ids, start, weight, bias) for ids, start in rows])
    tables = [new.log_softmax(ids, new.adapter, temperature)[start - 1:-1] for ids, start in rows]
    entropy = torch.cat([-(t.exp() * t).sum(-1) for t in tables]).mean()
    difference = now - lp
    ratio = difference.exp()
    unclipped, clipped = -advantages * ratio, -advantages * ratio.clamp(1 - clip, 1 + clip)
    policy_loss = masked_mean(torch.max(unclipped, clipped), tokens)
    near = torch.max(torch.min(values, old_values + value_clip), old_values - value_clip)
    free_error, near_error = (values - returns) ** 2, (near - returns) ** 2
    value_loss = 0.5 * masked_mean(torch.max(free_error, near_error), states)
    loss = policy_loss + vf * value_loss - 0.01 * entropy
    kept = states.bool()
    misses, targets = (returns - old_values)[kept], returns[kept]
    grads, heads = new.grads(loss, weight, bias)
    tensors |= {f"ppo.grad.{name}": grad for name, grad in grads.items()}
    tensors |= {"ppo.grad.v_head.summary.weight": heads[0], "ppo.grad.v_head.summary.bias": heads[1]}
    numbers["ppo"] = {
        "temperature": temperature, "gamma": gamma, "lam": lam, "kl_coef": kl_coef, "clip": clip,
        "value_clip": value_clip, "vf_coef": vf, "entropy_coef": 0.01, "loss": loss.item(),
        "policy_loss": policy_loss.item(), "value_loss": value_loss.item(), "entropy": entropy.item(),
        "response_length": RESPONSE_LENGTH, "approxkl": masked_mean(0.5 * difference ** 2, tokens).item(),
        "clipfrac": masked_mean((clipped > unclipped).double(), tokens).item(),
        "value_clipfrac": masked_mean((near_error > free_error).double(), states).item(),
        "explained_variance": (1 - misses.var(unbiased=False) / targets.var(unbiased=False)).item()}


def grpo(old, new, rows, tensors, numbers):
    # Two groups of three samples; the second group's rewards are all equal.
    scores = torch.tensor([1.0, 0.0, 0.0, 0.5, 0.5, 0.5], dtype=torch.float64)
    groups = scores.view(2, 3)
    centred = groups - groups.mean(1, keepdim=True)
    advantages = (centred / (groups.std(1, keepdim=True) + 1e-4)).flatten()
    tensors |= {"grpo.scores": scores, "grpo.advantages": advantages,
                "grpo.batch_advantages": (centred / (scores.std() + 1e-4)).flatten(),
                "grpo.centred_advantages": centred.flatten()}
    # For the losses every row gets an advantage of its own, so that both signs and both clips occur.
    each = torch.tensor([1.0, -0.7, 0.4, -1.2, 0.3, -0.2], dtype=torch.float64)
    tensors["grpo.loss_advantages"] = each
    low, high, beta, longest = 0.2, 0.28, 0.04, 10
    lp = [old.logps(ids, start).detach() for ids, start in rows]
    ref = [old.logps(ids, start, reference=True).detach() for ids, start in rows]
    now = [new.logps(ids, start) for ids, start in rows]

    def token_losses(ratios):
        parts = []
        for a, ratio, current, reference in zip(each, ratios, now, ref):
            gain = torch.min(ratio * a, ratio.clamp(1 - low, 1 + high) * a)
            parts.append(-gain + beta * ((reference - current).exp() - (reference - current) - 1))
        return parts

    token = token_losses([(n - o).exp() for n, o in zip(now, lp)])
    sequence = token_losses([(n - o).mean().exp().expand(len(n)) for n, o in zip(now, lp)])
    losses = {
        "grpo": torch.stack([p.mean() for p in token]).mean(),
        "bnpo": torch.cat(token).mean(),
        "dapo": torch.cat(token).mean(),
        "dr_grpo": torch.cat(token).sum() / (len(token) * longest),
        "sequence": torch.cat(sequence).mean(),
    }
    for name, loss in losses.items():
        numbers.setdefault("grpo", {})[name] = loss.item()
        for parameter, grad in new.grads(loss)[0].items():
            tensors[f"grpo.{name}.grad.{parameter}"] = grad


def main():
    config = json.loads((HERE / "llama" / "config.json").read_text())
    base = load_safetensors(HERE / "llama" / "model.safetensors")
    lora = load_safetensors(HERE / "llama" / "adapter" / "adapter_model.safetensors")
    random = torch.Generator().manual_seed(3000)
    hidden = config["hidden_size"]
    heads = {"score.weight": torch.randn(1, hidden, generator=random) * 0.2,
             "v_head.summary.weight": torch.randn(1, hidden, generator=random) * 0.2,
             "v_head.summary.bias": torch.randn(1, generator=random) * 0.1}
    moved = {name: value.float() + 0.03 * torch.randn(value.shape, generator=random) for name, value in lora.items()}
    rows, prompts = [], {}
    for i, (start, length) in enumerate(LENGTHS):
        # Both rows of a pair have the same prompt.
        prompt = prompts.setdefault(i // 2, torch.randint(3, config["vocab_size"], (start,), generator=random))
        rows.append((torch.cat([prompt, torch.randint(3, config["vocab_size"], (length,), generator=random)]), start))
    tensors, numbers = {}, {"made_with": {"python": platform.python_version(), "torch": torch.__version__},
                            "lengths": LENGTHS}
    tensors |= {"ids": padded([ids for ids, _ in rows]).int(), **heads}
    tensors |= {f"moved.{name}": value for name, value in moved.items()}
    double_heads = {name: value.double() for name, value in heads.items()}
    old = Policy(config, base, lora, double_heads)
    new = Policy(config, base, {name: value.double() for name, value in moved.items()}, double_heads)
    preference(old, rows, tensors, numbers)
    reward(old, rows, tensors)
    ppo(old, new, rows, tensors, numbers)
    grpo(old, new, rows, tensors, numbers)
    folder = HERE / "alignment"
    folder.mkdir(exist_ok=True)
    save_safetensors(folder / "alignment.safetensors", tensors)
    (folder / "alignment.json").write_text(json.dumps(numbers, indent=2) + "\n")


if __name__ == "__main__":
    torch.set_num_threads(1)
    main()
