namespace CudaLora.Cli;

/// <summary>Command lines as a person would type them, so that they can be pasted.</summary>
internal static class Shell
{
    /// <summary>The program and its arguments.</summary>
    public static string Line(params IEnumerable<string> args) =>
        string.Join(' ', args.Select(Quote).Prepend("cudalora"));

    public static string Quote(string text) =>
        text.Length > 0
        && text.All(c => char.IsAsciiLetterOrDigit(c) || "-_./:=,+@%".Contains(c, StringComparison.Ordinal))
            ? text
            : text.Contains('\'', StringComparison.Ordinal)
                ? "\"" + text.Replace("\\", "\\\\", StringComparison.Ordinal)
                .Replace("\"", "\\\"", StringComparison.Ordinal) + "\""
                : $"'{text}'";
}
