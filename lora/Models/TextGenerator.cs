using CudaLora.Engine;

namespace CudaLora.Lora;

/// <summary>Why a continuation ended.</summary>
public enum StopReason
{
    /// <summary>A stop id came; it is not part of the tokens.</summary>
    StopId,

    /// <summary>The longest continuation was reached.</summary>
    Length,

    /// <summary>The model's context is full.</summary>
    Context,

    /// <summary>Generation was cancelled.</summary>
    Cancelled,
}

/// <summary>A finished continuation.</summary>
/// <param name="Tokens">The new tokens, without the prompt.</param>
/// <param name="Stop">Why it ended.</param>
public sealed record Continuation(IReadOnlyList<int> Tokens, StopReason Stop)
{
    /// <summary>The id that ended it, or null.</summary>
    public int? StopId { get; init; }
}

/// <summary>Continues prompts token by token, with a key/value cache.</summary>
public static class TextGenerator
{
    /// <summary>Continues one prompt.</summary>
    /// <inheritdoc cref="Generate(CausalLM, IReadOnlyList{IReadOnlyList{int}}, SamplingOptions, Action{int, int},
    /// CancellationToken)"/>
    public static Continuation Generate(
        this CausalLM model, IReadOnlyList<int> prompt, SamplingOptions options, Action<int>? onToken = null,
        CancellationToken cancel = default) =>
        model.Generate([prompt], options, onToken is null ? null : (_, token) => onToken(token), cancel)[0];

    /// <summary>
    /// Continues prompts of any lengths in one batch. Rows do not influence each other, but for rounding.
    /// </summary>
    /// <param name="model">The model; dropout is off meanwhile.</param>
    /// <param name="prompts">Tokens of each prompt, at least one each; without prompts there is nothing to do.</param>
    /// <param name="options">Sampling and length.</param>
    /// <param name="onToken">Called with row and token as each is chosen, stop ids not included.</param>
    /// <param name="cancel">Ends all rows with what they have, within one token.</param>
    /// <exception cref="UserErrorException">A prompt is empty or does not leave room in the context.</exception>
    public static IReadOnlyList<Continuation> Generate(
        this CausalLM model, IReadOnlyList<IReadOnlyList<int>> prompts, SamplingOptions options,
        Action<int, int>? onToken = null, CancellationToken cancel = default)
    {
        ArgumentNullException.ThrowIfNull(prompts);
        ArgumentNullException.ThrowIfNull(options);
        options.Validate();
        var context = model.Config.MaxPositions - (model.VirtualTokens?.Count ?? 0);
        foreach (var prompt in prompts)
        {
            ArgumentNullException.ThrowIfNull(prompt);
            if (prompt.Count == 0)
                throw new UserErrorException("a prompt must have at least one token, but is empty");
            if (prompt.Count >= context)
                throw new UserErrorException(
                    $"a prompt must leave room in the model's context of {context} tokens, but has {prompt.Count}");
        }
        if (prompts.Count == 0)
            return [];
        using var evaluating = TrainingMode.Off(model);
        using var noGrad = GradMode.NoGrad();
        using var scope = TensorScope.Begin();
        using var run = new Run(model, prompts, options, onToken);
        return run.ToEnd(cancel);
    }

    private sealed class Run : IDisposable
    {
        private readonly CausalLM model;
        private readonly IReadOnlyList<IReadOnlyList<int>> prompts;
        private readonly SamplingOptions options;
        private readonly Action<int, int>? onToken;
        private readonly Sampler sampler;
        private readonly CudaSampler? onDevice;
        private readonly DecodeStep? decode;
        private readonly IReadOnlyList<int> stopIds;
        private readonly List<int>[] tokens;
        private readonly StopReason?[] stops;
        private readonly int?[] endings;
        private readonly int[] counts;
        private readonly KvCache cache;
        private readonly int[] last;
        private float[] logits = [];

        public Run(
            CausalLM model, IReadOnlyList<IReadOnlyList<int>> prompts, SamplingOptions options,
            Action<int, int>? onToken)
        {
            (this.model, this.prompts, this.options, this.onToken) = (model, prompts, options, onToken);
            sampler = new Sampler(options);
            stopIds = options.StopIds ?? model.Generation.EosTokenIds;
            tokens = prompts.Select(_ => new List<int>()).ToArray();
            stops = new StopReason?[prompts.Count];
            endings = new int?[prompts.Count];
            counts = prompts.Select(p => p.Count).ToArray();
            last = new int[prompts.Count];
            var longest = counts.Max();
            longest += model.VirtualTokens?.Count ?? 0;
            var room = (int)Math.Min(
                (long)longest + options.MaxNewTokens, Math.Max(longest, model.Config.MaxPositions));
            // One slot to spare: rows that have ended are computed on, their token landing where nothing is read.
            cache = new KvCache(model.Config, prompts.Count, room + 1, model.Placement);
            if (model.Device is not CudaDevice cuda || model.Config.VocabSize > CudaSampler.LargestVocabulary)
                return;
            onDevice = new CudaSampler(
                cuda, new SamplingRule(options.Temperature, options.TopK, options.TopP, options.Seed), prompts.Count,
                model.Config.VocabSize);
            decode = model.ActiveAdapter?.HasHostWork == true ? null : new DecodeStep(model, cuda, cache, onDevice);
        }

        public void Dispose()
        {
            decode?.Dispose();
            onDevice?.Dispose();
            cache.Dispose();
        }

        public Continuation[] ToEnd(CancellationToken cancel)
        {
            var width = counts.Max();
            var ids = new int[prompts.Count * width];
            for (var b = 0; b < prompts.Count; b++)
            {
                for (var t = 0; t < prompts[b].Count; t++)
                    ids[(b * width) + t] = prompts[b][t];
            }
            for (var step = 0; !IsCancelled(cancel) && Step(ids, width, step); step++)
            {
                width = 1;
                ids = new int[prompts.Count];
                for (var b = 0; b < prompts.Count; b++)
                {
                    // A row that has ended stays in the batch, but adds nothing to its cache.
                    counts[b] = stops[b] is null ? 1 : 0;
                    ids[b] = stops[b] is null ? tokens[b][^1] : 0;
                }
            }
            return tokens
                .Select((row, b) => new Continuation(row, stops[b]!.Value) { StopId = endings[b] })
                .ToArray();
        }

        // Reads the ids and chooses one token per row; false when all rows have ended.
        private bool Step(int[] ids, int width, int step)
        {
            if (width == 1 && decode is not null)
            {
                Take(decode.Run(ids, counts, step));
                return Array.Exists(stops, stop => stop is null);
            }
            using var scope = TensorScope.Begin();
            var hidden = model.Hidden(Tensor.From(ids, Shape.Of(prompts.Count, width), model.Device), cache, counts);
            var scores = model.Logits(Last(hidden)); // (B, V)
            if (onDevice is null)
                Choose(OnHost(scores), step);
            else
                Choose(onDevice, scores, step);
            return Array.Exists(stops, stop => stop is null);
        }

        private void Choose(ReadOnlySpan<float> scores, int step)
        {
            var vocabulary = model.Config.VocabSize;
            for (var b = 0; b < prompts.Count; b++)
            {
                if (stops[b] is null)
                    Take(b, sampler.Next(scores.Slice(b * vocabulary, vocabulary), b, step));
            }
        }

        // The same choices, without moving the scores.
        private void Choose(CudaSampler onDevice, Tensor scores, int step)
        {
            onDevice.SetStep(step);
            onDevice.Queue(scores);
            Take(onDevice.Read());
        }

        private void Take(ReadOnlySpan<int> chosen)
        {
            for (var b = 0; b < prompts.Count; b++)
            {
                if (stops[b] is null)
                    Take(b, chosen[b]);
            }
        }

        private void Take(int row, int token)
        {
            if (stopIds.Contains(token))
            {
                (stops[row], endings[row]) = (StopReason.StopId, token);
                return;
            }
            tokens[row].Add(token);
            onToken?.Invoke(row, token);
            if (tokens[row].Count == options.MaxNewTokens)
                stops[row] = StopReason.Length;
            else if (cache.Lengths[row] == model.Config.MaxPositions)
                stops[row] = StopReason.Context;
        }

        // Hidden states (B, T, C) of each row's last token: (B, C).
        private Tensor Last(Tensor hidden)
        {
            var (length, width) = (hidden.Shape[1], hidden.Shape[2]);
            if (length == 1)
                return hidden.Reshape(Shape.Of(hidden.Shape[0], width));
            for (var b = 0; b < last.Length; b++)
                last[b] = (b * length) + counts[b] - 1;
            return hidden
                .Reshape(Shape.Of(hidden.Shape[0] * length, width))
                .Embedding(Tensor.From(last, Shape.Of(last.Length), model.Device));
        }

        private ReadOnlySpan<float> OnHost(Tensor values)
        {
            if (values.Device.Kind == DeviceKind.Cpu)
                return values.Span<float>();
            if (logits.Length < values.Count)
                logits = new float[values.Count];
            values.CopyTo(logits.AsSpan(0, (int)values.Count));
            return logits;
        }

        private bool IsCancelled(CancellationToken cancel)
        {
            if (!cancel.IsCancellationRequested)
                return false;
            for (var b = 0; b < stops.Length; b++)
                stops[b] ??= StopReason.Cancelled;
            return true;
        }
    }
}
