using System.Text.Json.Nodes;
using System.Text.RegularExpressions;

namespace CudaLora.Lora;

/// <summary>
/// PEFT's way to name modules: a list of names that match the whole path or its end after a dot, a regular expression
/// that must match the whole path, or <c>all-linear</c>.
/// </summary>
public sealed class ModuleSelector
{
    /// <summary>The word for every linear layer but the output embedding.</summary>
    public const string AllLinearName = "all-linear";

    private readonly Regex? regex;

    private ModuleSelector(IReadOnlyList<string>? names, string? pattern)
    {
        Names = names;
        Pattern = pattern;
        regex = pattern is null or AllLinearName ? null : PythonRegex.Full(pattern);
    }

    /// <summary>Every linear layer but the output embedding.</summary>
    public static ModuleSelector AllLinear { get; } = new(null, AllLinearName);

    /// <summary>The names of a list, or null.</summary>
    public IReadOnlyList<string>? Names { get; }

    /// <summary>The regular expression or <c>all-linear</c>, or null.</summary>
    public string? Pattern { get; }

    /// <summary>True for <c>all-linear</c>.</summary>
    public bool IsAllLinear => Pattern == AllLinearName;

    /// <summary>True for a regular expression.</summary>
    public bool IsRegex => regex is not null;

    /// <summary>Whole paths or their last components.</summary>
    public static ModuleSelector Of(params IEnumerable<string> names) => new(names.ToArray(), null);

    /// <summary>A Python regular expression for the whole path, or <c>all-linear</c>.</summary>
    /// <exception cref="RegexParseException">Not a regular expression that .NET understands.</exception>
    public static ModuleSelector FromPattern(string pattern) =>
        pattern == AllLinearName ? AllLinear : new ModuleSelector(null, pattern);

    /// <summary>True if a path is selected; <c>all-linear</c> depends on the kind and is not decided here.</summary>
    public bool Matches(string path) =>
        regex is not null ? regex.IsMatch(path) : Names is not null && Names.Any(name => NameMatches(name, path));

    /// <summary>As in the config: a text or a list.</summary>
    public override string ToString() => Pattern ?? $"[{string.Join(", ", Names!)}]";

    internal static bool NameMatches(string name, string path) => path == name
        || (path.EndsWith(name, StringComparison.Ordinal) && path.Length > name.Length
            && path[path.Length - name.Length - 1] == '.');

    internal JsonNode ToJson() =>
        Pattern is not null ? JsonValue.Create(Pattern) : new JsonArray([.. Names!.Select(n => JsonValue.Create(n))]);
}
