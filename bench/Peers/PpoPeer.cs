using CudaLora.Engine;
using CudaLora.Lora;
using TorchSharp;

namespace CudaLora.Peers;

/// <summary>
/// A PPO step of a small Llama with LoRA on all linears and a value head, phase by phase and as a whole: sampling of a
/// batch through the key/value cache, scoring under policy and reference, one update.
/// </summary>
internal static class PpoPeer
{
    private const int Rank = 8;
    private const int PromptTokens = 32;
    private const int Checked = 2;

    // Small, so that hundreds of timed updates on one rollout stay near it.
    private const double Rate = 1e-5;

    public static void Run(Contest contest)
    {
        var options = new PpoOptions { Prompts = 32, ResponseLength = 48, Temperature = 1, VfCoef = 0.1 };
        var size = new LlamaSize(
            Vocabulary: 2048, Hidden: 256, Inner: 704, Layers: 4, Heads: 8, Batch: options.Prompts,
            Tokens: PromptTokens + options.ResponseLength);
        Case(contest, size, options);
    }

    /// <summary>The rule that both are rewarded by: the share of even tokens.</summary>
    public static float Reward(IReadOnlyList<int> response) =>
        response.Count(id => id % 2 == 0) / (float)response.Count;

    private static void Case(Contest contest, LlamaSize size, PpoOptions options)
    {
        var random = new Random(5);
        var prompts = Enumerable.Range(0, size.Batch)
            .Select(_ => Enumerable.Range(0, PromptTokens).Select(_ => random.Next(3, size.Vocabulary)).ToArray())
            .ToArray();
        using var ours = new EnginePolicy(size, Rank, Rate, options, prompts);
        var head = ours.Head.Parameters().ToDictionary(p => p.Path.Value, Copy);
        using var peer = new TorchPolicy(
            new TorchLlama(
                size, ours.Base.ToDictionary(p => p.Path.Value, Copy),
                ours.Adapter.TrainableParameters().ToDictionary(p => p.Path.Value, Copy), scale: 2),
            head["v_head.summary.weight"], head["v_head.summary.bias"], Rate, options, Table(prompts));
        var seed = 1;
        var responses = ours.Rollout(seed, options.Temperature);
        using var peerResponses = Table(responses);
        var examples = ours.Score(responses);
        using var rollout = peer.Score(peerResponses);

        var work = $"{size.Batch} x {PromptTokens} + {options.ResponseLength} tokens, {size.Layers} layers, "
            + $"{size.Hidden} wide, r {Rank}";
        contest.Run(
            "ppo", "rollout, " + work, () => ours.Rollout(seed++, options.Temperature),
            () => peer.Rollout(options.Temperature).Dispose(), RolloutDifference, 1e-3,
            Work.Tokens(size.Batch * options.ResponseLength));
        contest.Run(
            "ppo", "scoring, " + work, () => ours.Score(responses), () => peer.Score(peerResponses).Dispose(),
            ScoreDifference, 1e-3);
        contest.Run(
            "ppo", "update, " + work, () => ours.Update(examples), () => peer.Update(rollout), UpdateDifference, 1e-3);
        // By now each side has made updates of its own; the parts of the step have been compared.
        contest.Run(
            "ppo", "whole step, " + work, () => ours.Update(ours.Score(ours.Rollout(seed++, options.Temperature))),
            Whole, () => contest.Outcomes.TakeLast(3).Max(outcome => outcome.Difference), 1e-3);

        void Whole()
        {
            using var tokens = peer.Rollout(options.Temperature);
            using var scored = peer.Score(tokens);
            peer.Update(scored);
        }

        // Greedy responses are the same tokens, and the peer's cache gives our tokens the probabilities that our
        // forward
        // pass without a cache gives them.
        double RolloutDifference()
        {
            using var greedy = peer.Rollout(0);
            var same = ours.Rollout(0, 0).SelectMany(row => row).Select(id => (long)id)
                .SequenceEqual(greedy.data<long>().ToArray());
            var known = peer.Replay(peerResponses);
            return same
                ? examples.SelectMany(e => e.LogProbs).Zip(known, (a, b) => (double)Math.Abs(a - b)).Max()
                : double.PositiveInfinity;
        }

        double ScoreDifference()
        {
            var now = ours.Score(responses);
            using var scored = peer.Score(peerResponses);
            return new[]
            {
                Distance(now, e => e.LogProbs, scored.LogProbs), Distance(now, e => e.Reference, scored.Reference),
                Distance(now, e => e.Values, scored.Values), Distance(now, e => e.Entropies, scored.Entropies),
                Distance(now, e => e.Advantages, scored.Advantages), Distance(now, e => e.Returns, scored.Returns),
            }.Max();
        }

        // Losses and norms of two updates, then the weights in units of what two of AdamW's steps move at most.
        double UpdateDifference()
        {
            var worst = 0.0;
            for (var i = 0; i < Checked; i++)
            {
                var mine = ours.Update(examples);
                var (loss, norm) = peer.Update(rollout);
                worst = new[] { worst, Math.Abs(mine.Loss - loss), Math.Abs(mine.GradNorm - norm) / norm }.Max();
            }
            return ours.Trained.Select(p => Distance(p.Value.ToArray(), peer.Trained[p.Path.Value]))
                .Append(worst).Max();
        }
    }

    private static double Distance(RolloutExample[] examples, Func<RolloutExample, float[]> row, torch.Tensor peer) =>
        Distance([.. examples.SelectMany(row)], peer);

    private static double Distance(float[] ours, torch.Tensor peer)
    {
        using var plain = peer.detach().contiguous();
        return ours.Zip(plain.data<float>().ToArray(), (a, b) => (double)Math.Abs(a - b)).Max();
    }

    private static torch.Tensor Table(int[][] rows) => torch.tensor(
        rows.SelectMany(row => row).Select(id => (long)id).ToArray(), [rows.Length, rows[0].Length]);

    private static torch.Tensor Copy(Parameter parameter)
    {
        var shape = parameter.Value.Shape;
        return torch.tensor(
            parameter.Value.ToArray(), Enumerable.Range(0, shape.Rank).Select(axis => (long)shape[axis]).ToArray());
    }
}
