using CudaLora.Engine;

namespace CudaLora.Lora;

/// <summary>A response and what it answers, as tokens.</summary>
/// <param name="Prompt">At least one token.</param>
/// <param name="Response">At least one token.</param>
public readonly record struct PromptResponse(IReadOnlyList<int> Prompt, IReadOnlyList<int> Response);

/// <summary>How likely texts are under a model: to rank answers, to choose among labels, to compare adapters.</summary>
public static class TextScorer
{
    /// <summary>Natural logarithm of the probability of each token of a response, after its prompt.</summary>
    /// <inheritdoc cref="LogProbs(CausalLM, IReadOnlyList{PromptResponse}, int, CancellationToken)"/>
    public static float[] LogProbs(this CausalLM model, IReadOnlyList<int> prompt, IReadOnlyList<int> response) =>
        model.LogProbs([new PromptResponse(prompt, response)])[0];

    /// <summary>
    /// Natural logarithms of the probabilities of each response's tokens; their sum is the response's own. Only the
    /// responses go through the output layer.
    /// </summary>
    /// <param name="model">The model with its active adapter; dropout is off meanwhile.</param>
    /// <param name="texts">Prompts and responses of any lengths.</param>
    /// <param name="batchSize">Texts at once.</param>
    /// <param name="cancel">Looked at between batches.</param>
    /// <returns>One array per text, as long as its response.</returns>
    /// <exception cref="UserErrorException">A prompt or response is empty, or they do not fit the context.</exception>
    /// <exception cref="OperationCanceledException">It was cancelled.</exception>
    public static IReadOnlyList<float[]> LogProbs(
        this CausalLM model, IReadOnlyList<PromptResponse> texts, int batchSize = 8, CancellationToken cancel = default)
    {
        ArgumentNullException.ThrowIfNull(texts);
        if (texts.Count == 0)
            return [];
        var data = new Batcher(
            [.. texts.Select(Example)], new BatcherOptions { BatchSize = batchSize, Shuffle = false });
        var (batch, completions) = (new Batch(), new CompletionInputs());
        var scores = new List<float[]>(texts.Count);
        using var evaluating = TrainingMode.Off(model);
        using var noGrad = GradMode.NoGrad();
        using var inputs = new InputSet(model.Device);
        while (scores.Count < texts.Count)
        {
            cancel.ThrowIfCancellationRequested();
            using var scope = TensorScope.Begin();
            data.Next(batch);
            inputs.Begin();
            completions.Prepare(batch, inputs);
            inputs.Commit();
            var table = completions.LogProbs(model, completions.States(model, inputs), inputs).ToArray(); // (n, K)
            inputs.Used();
            for (var r = 0; r < completions.Rows; r++)
                scores.Add(table.AsSpan(r * completions.Width, completions.Row(batch, r).LabelCount).ToArray());
        }
        return scores;
    }

    private static SftExample Example(PromptResponse text)
    {
        if (text.Prompt is not { Count: > 0 } || text.Response is not { Count: > 0 })
            throw new UserErrorException(
                "a prompt and its response must have at least one token each, but have "
                + $"{text.Prompt?.Count ?? 0} and {text.Response?.Count ?? 0}");
        return new SftExample(
            [.. text.Prompt, .. text.Response],
            [.. Enumerable.Repeat(SftExample.Ignored, text.Prompt.Count), .. text.Response]);
    }
}
