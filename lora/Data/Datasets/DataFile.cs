using System.Text;
using System.Text.Json;
using CudaLora.Engine;

namespace CudaLora.Lora;

/// <summary>Reads data sets. Records are parsed one at a time; a file is never held in memory whole as JSON.</summary>
public static class DataFile
{
    private const string EndOfText = "<|endoftext|>";

    /// <summary>All records of a file.</summary>
    /// <exception cref="UserErrorException">The file is absent, empty or malformed; the message is one line with the
    /// file, the line or record, the field, and what was expected.</exception>
    public static IReadOnlyList<DataExample> Load(string file, DataOptions? options = null)
    {
        var examples = Read(file, options).ToList();
        if (examples.Count > 0) return examples;
        var found = Head(file).AsSpan().Trim() is "" or "[]" ? "is empty" : "none has a response or text to learn";
        throw new UserErrorException($"{file}: must hold at least one record, but {found}");
    }

    /// <summary>The records of a file, one after the other.</summary>
    public static IEnumerable<DataExample> Read(string file, DataOptions? options = null)
    {
        options ??= new DataOptions();
        string head = Head(file);
        char first = head.AsSpan().TrimStart() is { Length: > 0 } text ? text[0] : '\0';
        bool named = file.EndsWith(".json", StringComparison.OrdinalIgnoreCase)
            || file.EndsWith(".jsonl", StringComparison.OrdinalIgnoreCase);
        bool structured = options.Format is not (DataFormat.Auto or DataFormat.Text or DataFormat.Delimited);
        if (named || structured || first is '{')
            return first is '[' ? JsonRecords.Array(file, options.Format) : JsonRecords.Lines(file, options.Format);
        bool delimited = options.Format == DataFormat.Delimited
            || (options.Format == DataFormat.Auto && LooksDelimited(head, options.Delimiter));
        if (delimited) return Delimited(file, options.Delimiter);
        string marker = head.Contains(EndOfText, StringComparison.Ordinal) ? EndOfText : "";
        return Documents(file, options.Separator ?? marker);
    }

    private static string Head(string file)
    {
        using var reader = new StreamReader(TextFile.Open(file));
        var buffer = new char[1 << 16];
        return new string(buffer, 0, reader.ReadBlock(buffer));
    }

    private static bool LooksDelimited(string head, string delimiter)
    {
        // The last line of the head may be cut short.
        var lines = head.Split('\n').SkipLast(head.Length < 1 << 16 ? 0 : 1).Where(line => line.Trim().Length > 0)
            .Take(20).ToArray();
        return lines.Length > 0 && lines.All(line => line.Contains(delimiter, StringComparison.Ordinal));
    }

    private static IEnumerable<DataExample> Delimited(string file, string delimiter)
    {
        using var reader = TextFile.Reader(file);
        int number = 0;
        while (TextFile.Line(reader, file) is { } line)
        {
            number++;
            if (line.AsSpan().Trim().IsEmpty) continue;
            int at = line.IndexOf(delimiter, StringComparison.Ordinal);
            if (at < 0)
                throw new UserErrorException(
                    $"{file}: line {number} must be prompt{delimiter}response, but has no {delimiter}");
            yield return new ChatExample([new ChatMessage(ChatMessage.User, line[..at].Trim()),
                new ChatMessage(ChatMessage.Assistant, line[(at + delimiter.Length)..].Trim())]);
        }
    }

    private static IEnumerable<DataExample> Documents(string file, string separator)
    {
        using var reader = TextFile.Reader(file);
        if (separator.Length == 0)
        {
            string all = TextFile.Rest(reader, file);
            if (all.AsSpan().Trim().Length > 0) yield return new TextExample(all);
            yield break;
        }
        bool blankLines = separator.AsSpan().Trim().IsEmpty;
        var document = new StringBuilder();
        while (TextFile.Line(reader, file) is { } line)
        {
            bool ends = blankLines ? line.AsSpan().Trim().IsEmpty : line.Contains(separator, StringComparison.Ordinal);
            if (!ends)
            {
                document.Append(line).Append('\n');
                continue;
            }
            string[] parts = blankLines ? ["", ""] : line.Split(separator);
            for (int i = 0; i < parts.Length; i++)
            {
                document.Append(parts[i]);
                if (i == parts.Length - 1) continue;
                if (Trimmed(document) is { } text) yield return new TextExample(text);
                document.Clear();
            }
            if (document.Length > 0) document.Append('\n');
        }
        if (Trimmed(document) is { } last) yield return new TextExample(last);
    }

    private static string? Trimmed(StringBuilder document) => document.ToString().Trim('\n',
        ' ') is { Length: > 0 } text ? text : null;
}
