using TorchSharp;
using TorchSharp.Modules;
using static TorchSharp.torch;
using F = TorchSharp.torch.nn.functional;

namespace CudaLora.Peers;

/// <summary>What PPO learns from in one step; tables are (B, N).</summary>
internal sealed record TorchRollout(
    Tensor Ids, Tensor LogProbs, Tensor Reference, Tensor Values, Tensor Entropies, Tensor Advantages, Tensor Returns)
    : IDisposable
{
    public void Dispose()
    {
        foreach (var tensor in (Tensor[])[Ids, LogProbs, Reference, Values, Entropies, Advantages, Returns])
            tensor.Dispose();
    }
}

/// <summary>The phases of a PPO step as one writes them in TorchSharp after TRL, for prompts of one length and
/// responses
/// that fill the limit: no masks.</summary>
internal sealed class TorchPolicy : IDisposable
{
    private readonly TorchLlama model;
    private readonly Parameter weight;
    private readonly Parameter bias;
    private readonly CudaLora.Lora.PpoOptions options;
    private readonly Tensor prompts; // (B, P)
    private readonly optim.Optimizer optimizer;

    public TorchPolicy(
        TorchLlama model, Tensor weight, Tensor bias, double rate, CudaLora.Lora.PpoOptions options,
        Tensor prompts)
    {
        (this.model, this.options, this.prompts) = (model, options, prompts);
        (this.weight, this.bias) = (new Parameter(weight), new Parameter(bias));
        Trained = new Dictionary<string, Parameter>(model.Adapters)
        {
            ["v_head.summary.weight"] = this.weight,
            ["v_head.summary.bias"] = this.bias,
        };
        optimizer = optim.AdamW(Trained.Values, lr: rate, weight_decay: 0.01);
    }

    /// <summary>A, B and the value head by name.</summary>
    public IReadOnlyDictionary<string, Parameter> Trained { get; }

    /// <summary>Responses (B, N) through the key/value cache; at temperature 0 the likeliest.</summary>
    public Tensor Rollout(double temperature) => model.Sample(
        prompts, options.ResponseLength,
        (logits, _) => temperature == 0
            ? logits.argmax(-1, keepdim: true)
            : multinomial((logits / temperature).softmax(-1), 1));

    /// <summary>Log-probabilities (B, N) that given responses have through the key/value cache.</summary>
    public float[] Replay(Tensor responses)
    {
        using var scope = NewDisposeScope();
        var known = new List<Tensor>();
        model.Sample(prompts, options.ResponseLength, (logits, i) =>
        {
            var next = responses.narrow(1, i, 1);
            known.Add((logits / options.Temperature).log_softmax(-1).gather(-1, next).DetachFromDisposeScope());
            return next.clone();
        });
        using var all = cat(known, 1);
        known.ForEach(tensor => tensor.Dispose());
        return all.data<float>().ToArray();
    }

    /// <summary>Log-probabilities under policy and reference, entropies, values; rewards and advantages.</summary>
    public TorchRollout Score(Tensor responses)
    {
        using var noGrad = no_grad();
        using var scope = NewDisposeScope();
        var ids = cat([prompts, responses], 1);
        var states = States(ids);
        var table = LogSoftmax(states);
        var logProbs = Chosen(table, responses);
        var values = Values(states);
        model.IsAdapted = false;
        var reference = Chosen(LogSoftmax(States(ids)), responses);
        model.IsAdapted = true;
        var rewards = -options.KlCoef * (logProbs - reference);
        var tokens = responses.data<long>().ToArray();
        var width = options.ResponseLength;
        var scores = tokens.Chunk(width).Select(row => PpoPeer.Reward([.. row.Select(id => (int)id)])).ToArray();
        rewards.select(1, width - 1).add_(tensor(scores));
        var advantages = empty_like(rewards);
        var later = zeros(rewards.shape[0]);
        for (var t = width - 1; t >= 0; t--)
        {
            var error = rewards.select(1, t) - values.select(1, t);
            if (t < width - 1)
                error += options.Gamma * values.select(1, t + 1);
            later = error + options.Gamma * options.Lambda * later;
            advantages.select(1, t).copy_(later);
        }
        var returns = advantages + values;
        advantages = (advantages - advantages.mean()) * rsqrt(advantages.var() + 1e-8);
        return new TorchRollout(
            ids.MoveToOuterDisposeScope(), logProbs.MoveToOuterDisposeScope(), reference.MoveToOuterDisposeScope(),
            values.MoveToOuterDisposeScope(), Entropy(table).MoveToOuterDisposeScope(),
            advantages.MoveToOuterDisposeScope(), returns.MoveToOuterDisposeScope());
    }

    /// <summary>One pass in one mini-batch: loss, backward, clipping, AdamW. Returns loss and gradient norm.</summary>
    public (float Loss, double Norm) Update(TorchRollout rollout)
    {
        using var scope = NewDisposeScope();
        optimizer.zero_grad();
        var states = States(rollout.Ids);
        var table = LogSoftmax(states);
        var responses = rollout.Ids.narrow(1, prompts.shape[1], options.ResponseLength);
        var ratio = (Chosen(table, responses) - rollout.LogProbs).exp();
        var policy = max(
            -rollout.Advantages * ratio,
            -rollout.Advantages * ratio.clamp(1 - options.ClipRange, 1 + options.ClipRange)).mean();
        var values = Values(states);
        var near = max(
            min(values, rollout.Values + options.ClipRangeValue), rollout.Values - options.ClipRangeValue);
        var value = 0.5 * max((values - rollout.Returns).square(), (near - rollout.Returns).square()).mean();
        using (no_grad())
            Entropy(table).mean();
        var loss = policy + options.VfCoef * value;
        loss.backward();
        var norm = nn.utils.clip_grad_norm_(Trained.Values, 1.0);
        optimizer.step();
        return (loss.item<float>(), norm);
    }

    public void Dispose()
    {
        optimizer.Dispose();
        weight.Dispose();
        bias.Dispose();
        model.Dispose();
        prompts.Dispose();
    }

    // Hidden states (B, N, C) before each token of the responses: only these go through the output layer.
    private Tensor States(Tensor ids) => model.States(ids).narrow(1, prompts.shape[1] - 1, options.ResponseLength);

    private Tensor LogSoftmax(Tensor states) => (model.Logits(states) / options.Temperature).log_softmax(-1);

    private Tensor Values(Tensor states) => F.linear(states, weight, bias).squeeze(-1);

    private static Tensor Chosen(Tensor table, Tensor ids) => table.gather(-1, ids.unsqueeze(-1)).squeeze(-1);

    private static Tensor Entropy(Tensor table) => -(table.exp() * table).sum(-1);
}
