using CudaLora.Engine;
using CudaLora.Lora;

namespace CudaLora.Cli;

/// <summary>A held-out prompt, what it should give and what the model answered.</summary>
internal sealed record Answer(string Prompt, string Expected, string Given)
{
    /// <summary>Equal but for white space at the ends.</summary>
    public bool IsExact => Given.Trim() == Expected.Trim();
}

/// <summary>Answers to held-out prompts, greedily generated.</summary>
internal static class AnswerCheck
{
    private const int BatchSize = 16;
    private const int LongestAnswer = 256;

    /// <summary>Answers the first <paramref name="count"/> records that have a reference.</summary>
    public static List<Answer> Run(
        LoadedModel loaded, SftEncoder encoder, IReadOnlyList<DataExample> records, int count,
        Action<int, int>? progress = null, CancellationToken stop = default)
    {
        var chosen = records.Where(r => SftEncoder.Reference(r) is not null).Take(count).ToArray();
        var answers = new List<Answer>(chosen.Length);
        foreach (var batch in chosen.Chunk(BatchSize))
        {
            answers.AddRange(Generate(loaded, encoder, batch, stop));
            stop.ThrowIfCancellationRequested();
            progress?.Invoke(answers.Count, chosen.Length);
        }
        return answers;
    }

    /// <summary>Share of exact answers, or null without any.</summary>
    public static double? Share(IReadOnlyCollection<Answer> answers) =>
        answers.Count == 0 ? null : (double)answers.Count(a => a.IsExact) / answers.Count;

    private static IEnumerable<Answer> Generate(
        LoadedModel loaded, SftEncoder encoder, DataExample[] records, CancellationToken stop)
    {
        var references = Array.ConvertAll(records, r => SftEncoder.Reference(r)!);
        // A prompt that fills the context leaves no room for an answer.
        var prompts =
            Array.ConvertAll(records, r => (IReadOnlyList<int>)[.. encoder.EncodePrompt(r).Take(loaded.Context - 1)]);
        // One token more than the reference tells whether the answer goes on.
        var room = references.Max(r => loaded.Tokenizer.Encode(r, addSpecialTokens: false).Length) + 2;
        var continuations = loaded.Model.Generate(
            prompts,
            new SamplingOptions
            {
                Temperature = 0,
                MaxNewTokens = Math.Min(room, LongestAnswer),
                StopIds = loaded.StopIds
            },
            cancel: stop);
        return records.Select((record, i) => new Answer(
            PromptText(record), references[i], Text(loaded.Tokenizer, continuations[i].Tokens)));
    }

    private static string Text(Tokenizer tokenizer, IReadOnlyList<int> tokens)
    {
        var stream = tokenizer.Stream(skipSpecial: true, continues: true);
        return string.Concat(tokens.Select(stream.Append)) + stream.Finish();
    }

    private static string PromptText(DataExample record) => record switch
    {
        ChatExample chat => chat.Messages.LastOrDefault(m => m.Role == ChatMessage.User)?.Content ?? "",
        PromptExample prompt => prompt.Prompt,
        _ => "",
    };
}
