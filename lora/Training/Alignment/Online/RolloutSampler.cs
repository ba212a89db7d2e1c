using CudaLora.Engine;

namespace CudaLora.Lora;

/// <summary>Draws prompts in a shuffled order that begins anew each pass, and samples responses to them.</summary>
/// <param name="model">The policy.</param>
/// <param name="tokenizer">Turns responses into text.</param>
/// <param name="prompts">Records and their tokens.</param>
/// <param name="stopIds">Tokens that end a response.</param>
/// <param name="options">Numbers, lengths, temperature.</param>
/// <param name="seed">Seed of order and sampling: a step's responses depend on it, the step and the policy
/// alone.</param>
/// <param name="shuffle">Whether the order is shuffled.</param>
internal sealed class RolloutSampler(
    CausalLM model, Tokenizer tokenizer, IReadOnlyList<(PromptRecord Record, int[] Ids)> prompts,
    IReadOnlyList<int> stopIds, OnlineOptions options, int seed,
    bool shuffle = true)
{
    /// <summary>Passes over the prompts after so many steps, with fraction.</summary>
    public double Epoch(int steps) => (double)steps * options.Prompts / prompts.Count;

    /// <summary>The responses of a step, those to the same prompt side by side.</summary>
    public RolloutExample[] Sample(int step, CancellationToken stop)
    {
        var chosen = Choose(step);
        var examples = new List<RolloutExample>(options.Responses);
        var chunks = 0UL;
        foreach (var chunk in chosen.Chunk(options.RolloutBatchSize))
        {
            var continuations = model.Generate(
                Array.ConvertAll(chunk, i => (IReadOnlyList<int>)prompts[i].Ids),
                new SamplingOptions
                {
                    Temperature = options.Temperature,
                    MaxNewTokens = options.ResponseLength,
                    StopIds = stopIds,
                    // One stream per step and chunk; rows and tokens count within.
                    Seed = ((ulong)(uint)seed << 32) ^ ((ulong)step << 12) ^ chunks++,
                },
                cancel: stop);
            stop.ThrowIfCancellationRequested();
            examples.AddRange(chunk.Select((index, i) => Example(prompts[index], continuations[i])));
        }
        return [.. examples];
    }

    private int[] Choose(int step)
    {
        var chosen = new int[options.Responses];
        var (epoch, order) = (-1, Array.Empty<int>());
        for (var i = 0; i < options.Prompts; i++)
        {
            var position = ((long)step * options.Prompts) + i;
            var pass = (int)(position / prompts.Count);
            if (pass != epoch)
            {
                epoch = pass;
                order = shuffle ? Permutation.Of(prompts.Count, seed, pass) : [.. Enumerable.Range(0, prompts.Count)];
            }
            chosen.AsSpan(i * options.Generations, options.Generations).Fill(order[(int)(position % prompts.Count)]);
        }
        return chosen;
    }

    private RolloutExample Example((PromptRecord Record, int[] Ids) prompt, Continuation continuation)
    {
        int[] response = continuation.StopId is { } end ? [.. continuation.Tokens, end] : [.. continuation.Tokens];
        // A vocabulary is often padded beyond the tokenizer's.
        int[] known = [.. continuation.Tokens.Where(id => id < tokenizer.VocabSize)];
        int[] labels = [.. Enumerable.Repeat(SftExample.Ignored, prompt.Ids.Length), .. response];
        return new RolloutExample(
            [.. prompt.Ids, .. response], labels,
            new RewardSample(
                prompt.Record, prompt.Ids, response, tokenizer.Decode(known, skipSpecial: true).Trim(),
                continuation.Stop == StopReason.StopId))
        {
            IsRewardedAfterEnd = response.Length < options.ResponseLength,
        };
    }
}
