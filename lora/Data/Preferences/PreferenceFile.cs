using System.Text.Json;
using CudaLora.Engine;

namespace CudaLora.Lora;

/// <summary>
/// Reads preference data, a JSON list or JSON lines. The prompt of a record is <c>prompt</c> (a text, or a list of
/// messages as TRL has it), <c>conversations</c> or <c>messages</c> (LLaMA-Factory), or <c>instruction</c> with
/// <c>input</c>, <c>system</c> and <c>history</c> (alpaca). Without one, the responses are whole conversations or
/// transcripts in Anthropic's form. Errors name the file, the line or record, the field and what was expected.
/// </summary>
public static class PreferenceFile
{
    /// <summary>Pairs: <c>chosen</c> and <c>rejected</c>, and a number <c>margin</c> if there is one.</summary>
    /// <exception cref="UserErrorException">The file is absent, empty or malformed.</exception>
    public static IReadOnlyList<PreferencePair> LoadPairs(string file) => Load(file, record => Pair(record));

    /// <summary>
    /// Labelled responses: <c>completion</c>, <c>output</c> or the last message, with <c>label</c> or <c>kto_tag</c>
    /// true or false. A pair counts as one desirable and one undesirable response.
    /// </summary>
    /// <exception cref="UserErrorException">The file is absent, empty or malformed.</exception>
    public static IReadOnlyList<LabelledResponse> LoadLabels(string file) =>
        [.. Load(file, record => Labels(record)).SelectMany(labels => labels)];

    /// <summary>Prompts; answers that the records hold become <see cref="PromptRecord.Reference"/>.</summary>
    /// <exception cref="UserErrorException">The file is absent, empty or malformed.</exception>
    public static IReadOnlyList<PromptRecord> LoadPrompts(string file) => Load(file, record => Prompt(record));

    private static List<T> Load<T>(string file, Func<JsonAt, T?> read)
        where T : class
    {
        var records = JsonRecords.Of(file).Select(read).OfType<T>().ToList();
        return records.Count > 0
            ? records
            : throw new UserErrorException($"{file}: must hold at least one record with a response, but has none");
    }

    // Null when a response is empty: there is nothing to compare then.
    private static PreferencePair? Pair(JsonAt record)
    {
        var (chosen, rejected) = Sides(record);
        if (chosen.IsNull) throw chosen.Error("a text, a message or a list of messages");
        if (rejected.IsNull) throw rejected.Error("a text, a message or a list of messages");
        var context = PromptContext.Of(record);
        var margin = record.Get("margin");
        if (!margin.IsNull && margin.Kind != JsonValueKind.Number) throw margin.Error("a number");
        return context.Answered(chosen) is { } better && context.Answered(rejected) is { } worse
            ? new PreferencePair(better, worse, margin.IsNull ? 0 : margin.Value.GetSingle())
            : null;
    }

    // LLaMA-Factory's older form lists both under output.
    private static (JsonAt Chosen, JsonAt Rejected) Sides(JsonAt record)
    {
        var output = record.Get("output");
        return record.Get("chosen").IsNull && output.Kind == JsonValueKind.Array
            && output.Items().ToArray() is [var first, var second]
            ? (first, second)
            : (record.Get("chosen"), record.Get("rejected"));
    }

    private static List<LabelledResponse>? Labels(JsonAt record)
    {
        if (!record.Get("chosen").IsNull)
            return Pair(record) is { } pair ? [new(pair.Chosen, true), new(pair.Rejected, false)] : null;
        var label = record.Get("label").IsNull ? record.Get("kto_tag") : record.Get("label");
        if (label.IsNull) throw record.Get("label").Error("true or false");
        var context = PromptContext.Of(record);
        var response = PromptContext.Response(record);
        var example = response.IsNull ? context.WithLastAnswer() : context.Answered(response);
        if (example is null && response.IsNull && !context.EndsWithAnswer)
            throw record.Get("completion").Error("a text, a message or a list of messages");
        return example is null ? null : [new LabelledResponse(example, label.Bool(false))];
    }

    private static PromptRecord? Prompt(JsonAt record)
    {
        var context = PromptContext.Of(record);
        var response = PromptContext.Response(record);
        string? reference = response.Kind == JsonValueKind.String ? response.Text() : null;
        return context.Unanswered(reference) ?? throw record.Get("prompt").Error("a text or a list of messages");
    }
}
