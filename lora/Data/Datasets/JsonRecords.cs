using System.Text.Json;
using System.Text.Json.Serialization;
using CudaLora.Engine;

namespace CudaLora.Lora;

/// <summary>Records of a JSON list or of JSON lines.</summary>
internal static class JsonRecords
{
    public static IEnumerable<DataExample> Array(string file, DataFormat format) => Parsed(Items(file), format);

    public static IEnumerable<DataExample> Lines(string file, DataFormat format) => Parsed(JsonLines(file), format);

    /// <summary>The records of a file that is a JSON list or JSON lines, each with its place.</summary>
    public static IEnumerable<JsonAt> Of(string file)
    {
        using var reader = TextFile.Reader(file);
        int first = reader.Read();
        while (first >= 0 && char.IsWhiteSpace((char)first)) first = reader.Read();
        return first == '[' ? Items(file) : JsonLines(file);
    }

    private static IEnumerable<DataExample> Parsed(IEnumerable<JsonAt> records, DataFormat format)
    {
        foreach (var record in records)
        {
            if (format == DataFormat.Auto) format = Detect(record);
            if (Parse(record, format) is { } example) yield return example;
        }
    }

    private static IEnumerable<JsonAt> Items(string file)
    {
        using var stream = TextFile.Open(file);
        using var records = JsonSerializer
            .DeserializeAsyncEnumerable(stream, JsonRecordContext.Default.JsonElement)
            .ToBlockingEnumerable().GetEnumerator();
        for (int number = 1; Advance(records, file); number++)
            yield return new JsonAt(file, $"record {number}, ", records.Current);
    }

    private static IEnumerable<JsonAt> JsonLines(string file)
    {
        using var reader = TextFile.Reader(file);
        int number = 0;
        while (TextFile.Line(reader, file) is { } line)
        {
            number++;
            if (line.AsSpan().Trim().IsEmpty) continue;
            yield return new JsonAt(file, $"line {number}, ", ParseLine(file, number, line));
        }
    }

    private static bool Advance(IEnumerator<JsonElement> records, string file)
    {
        try
        {
            return records.MoveNext();
        }
        catch (JsonException e)
        {
            throw new UserErrorException($"{file}: must be a JSON list of records, but line {e.LineNumber + 1}, byte "
                + $"{e.BytePositionInLine + 1} is not valid", e);
        }
    }

    private static JsonElement ParseLine(string file, int number, string line)
    {
        try
        {
            using var document = JsonDocument.Parse(line);
            return document.RootElement.Clone();
        }
        catch (JsonException e)
        {
            throw new UserErrorException(
                $"{file}: line {number} must be one JSON record, but byte {e.BytePositionInLine + 1} is not valid", e);
        }
    }

    private static DataFormat Detect(JsonAt record)
    {
        bool Has(string name) => !record.Get(name).IsNull;
        if (Has("messages")) return DataFormat.Chat;
        if (Has("conversations")) return DataFormat.ShareGpt;
        if (Has("instruction")) return DataFormat.Alpaca;
        if (Has("prompt") || Has("question")) return DataFormat.PromptCompletion;
        if (Has("text")) return DataFormat.Text;
        string names = string.Join(", ", record.Members().Select(member => member.Name));
        if (names.Length == 0) names = "no fields";
        throw new UserErrorException($"{record.File}: {record.Place} must have instruction and output, messages, "
            + $"conversations, prompt and completion, or text, but has {names}");
    }

    /// <summary>The record, or null when its response is empty: there is nothing to learn then.</summary>
    private static DataExample? Parse(JsonAt record, DataFormat format) => format switch
    {
        DataFormat.Alpaca => Alpaca(record),
        DataFormat.Chat => Chat(record),
        DataFormat.ShareGpt => ShareGpt(record),
        DataFormat.PromptCompletion => Prompt(record),
        _ => record.Get("text").Text() is { Length: > 0 } text ? new TextExample(text) : null,
    };

    private static ChatExample? Alpaca(JsonAt record)
    {
        var messages = new List<ChatMessage>();
        if (record.Get("system").TextOrNull() is { Length: > 0 } system) messages.Add(new(ChatMessage.System, system));
        foreach (var turn in record.Get("history").Items())
        {
            if (turn.Items().ToArray() is not [var question, var answer]) throw turn.Error("a question and an answer");
            messages.Add(new(ChatMessage.User, question.Text()));
            messages.Add(new(ChatMessage.Assistant, answer.Text()));
        }
        string instruction = record.Get("instruction").Text(), output = record.Get("output").Text();
        string input = record.Get("input").TextOrNull() ?? "";
        messages.Add(new(ChatMessage.User, input.Length == 0 ? instruction : $"{instruction}\n{input}"));
        messages.Add(new(ChatMessage.Assistant, output));
        return output.Length == 0 ? null : new ChatExample(messages);
    }

    private static ChatExample? Chat(JsonAt record) => Conversation(record.Get("messages"), []);

    private static ChatExample? ShareGpt(JsonAt record)
    {
        var messages = new List<ChatMessage>();
        if (record.Get("system").TextOrNull() is { Length: > 0 } system) messages.Add(new(ChatMessage.System, system));
        return Conversation(record.Get("conversations"), messages);
    }

    // Both spellings are read in both formats; they are mixed up often.
    private static ChatExample? Conversation(JsonAt list, List<ChatMessage> messages)
    {
        messages.AddRange(Turns(list));
        return messages.Exists(message => message.Role == ChatMessage.Assistant && message.Content.Length > 0)
            ? new ChatExample(messages)
            : null;
    }

    /// <summary>The messages of a list.</summary>
    public static IEnumerable<ChatMessage> Turns(JsonAt list)
    {
        if (list.Kind != JsonValueKind.Array) throw list.Error("a list of messages");
        return list.Items().Select(Turn);
    }

    /// <summary>One message, in either spelling.</summary>
    public static ChatMessage Turn(JsonAt item)
    {
        bool openAi = !item.Get("role").IsNull;
        var role = item.Get(openAi ? "role" : "from");
        if (role.IsNull) throw item.Get("role").Error("a string");
        string name = role.Text() switch
        {
            "human" => ChatMessage.User,
            "gpt" or "model" => ChatMessage.Assistant,
            var other => other,
        };
        var content = item.Get("content").IsNull ? item.Get("value") : item.Get("content");
        if (content.IsNull) throw item.Get(openAi ? "content" : "value").Error("a string");
        return new ChatMessage(name, content.Text());
    }

    private static DataExample? Prompt(JsonAt record)
    {
        var prompt = record.Get("prompt").IsNull ? record.Get("question") : record.Get("prompt");
        var completion = record.Get("completion");
        foreach (string name in (string[])["response", "answer"]) if (completion.IsNull) completion = record.Get(name);
        if (prompt.Kind == JsonValueKind.Array)
            return Conversation(completion, Messages(prompt));
        if (completion.IsNull) throw record.Get("completion").Error("a string");
        if (prompt.IsNull) throw record.Get("prompt").Error("a string");
        return completion.Text().Length == 0 ? null : new PromptExample(prompt.Text(), completion.Text());
    }

    private static List<ChatMessage> Messages(JsonAt list) =>
        list.Items().Select(item => new ChatMessage(item.Get("role").Text(), item.Get("content").Text())).ToList();
}

/// <summary>How records are read, made by the compiler: a trimmed program has no reflection to find it by.</summary>
[JsonSerializable(typeof(JsonElement))]
internal sealed partial class JsonRecordContext : JsonSerializerContext;
