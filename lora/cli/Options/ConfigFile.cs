using CudaLora.Engine;
using YamlDotNet.Core;
using YamlDotNet.RepresentationModel;

namespace CudaLora.Cli;

/// <summary>Config files: one YAML mapping from snake_case names to values.</summary>
internal static class ConfigFile
{
    /// <exception cref="UsageException">Not YAML, an unknown key or a bad value; named with file and line.</exception>
    public static IEnumerable<(Setting Setting, object? Value)> Read(string path, IReadOnlyList<Setting> settings)
    {
        var byKey = settings.SelectMany(s => s.Keys.Select(key => (key, s))).ToDictionary(p => p.key, p => p.s);
        var seen = new Dictionary<Setting, long>();
        foreach (var (keyNode, valueNode) in Root(path).Children)
        {
            var line = keyNode.Start.Line;
            var key = (keyNode as YamlScalarNode)?.Value ?? "";
            if (!byKey.TryGetValue(key.Replace('-', '_'), out var setting) || setting == SharedSettings.Config)
                throw new UsageException($"{path}:{line}: unknown key '{key}'{NearestName.Hint(key, byKey.Keys)}");
            if (!seen.TryAdd(setting, line))
                throw new UsageException($"{path}:{line}: '{key}' is already set on line {seen[setting]}");
            var source = $"{path}:{line}: {key}";
            if (Texts(valueNode, setting, source) is { } texts) yield return (setting, setting.Parse(texts, source));
        }
    }

    /// <summary>Writes settings so that <see cref="Read"/> gives them back.</summary>
    public static void Write(string path, string heading,
        IEnumerable<(Setting Setting, IReadOnlyList<string> Texts)> values)
    {
        var lines = values.Select(v => $"{v.Setting.Key}: " + (v.Setting.IsList
            ? $"[{string.Join(", ", v.Texts.Select(Quote))}]"
            : Quote(v.Texts[0])));
        AtomicFile.WriteText(path, string.Join('\n', lines.Prepend("# " + heading)) + "\n");
    }

    private static YamlMappingNode Root(string path)
    {
        var yaml = new YamlStream();
        try
        {
            using var reader = new StreamReader(path);
            yaml.Load(reader);
        }
        catch (YamlException e)
        {
            var reason = e.InnerException?.Message ?? e.Message;
            throw new UsageException($"{path}:{e.Start.Line}: is not valid YAML: {reason.ReplaceLineEndings(" ")}");
        }
        catch (Exception e) when (e is IOException or UnauthorizedAccessException)
        {
            throw new UsageException(File.Exists(path)
                ? $"--config {path} cannot be read: {e.Message}"
                : $"--config must be a YAML file, but '{path}' "
                    + (Directory.Exists(path) ? "is a folder" : "does not exist"));
        }
        if (yaml.Documents.Count == 0) return [];
        return yaml.Documents[0].RootNode as YamlMappingNode ?? throw new UsageException(
            $"{path}: must hold 'name: value' lines, but holds a {yaml.Documents[0].RootNode.NodeType}");
    }

    // Null for a key without a value, which leaves the default.
    private static string[]? Texts(YamlNode node, Setting setting, string source) => node switch
    {
        YamlScalarNode { Style: ScalarStyle.Plain, Value: "" or "~" or "null" or "Null" or "NULL" } => null,
        YamlScalarNode scalar => [scalar.Value ?? ""],
        YamlSequenceNode list when setting.IsList && list.All(item => item is YamlScalarNode) =>
            [.. list.Select(item => ((YamlScalarNode)item).Value ?? "")],
        _ => throw new UsageException(
        $"{source} must be {setting.Accepts}, but is a {node.NodeType.ToString().ToLowerInvariant()}"),
    };

    private static string Quote(string text) => text.Length > 0
        && text.All(c => char.IsAsciiLetterOrDigit(c) || c is '.' or '_')
        && !char.IsAsciiDigit(text[0]) && text is not ("null" or "yes" or "no" or "on" or "off") || IsNumber(text)
            ? text
            : "\"" + text.Replace("\\", "\\\\", StringComparison.Ordinal)
            .Replace("\"", "\\\"", StringComparison.Ordinal)
                .Replace("\n", "\\n", StringComparison.Ordinal).Replace("\t", "\\t", StringComparison.Ordinal) + "\"";

    private static bool IsNumber(string text) => double.TryParse(
        text, System.Globalization.NumberStyles.Float, System.Globalization.CultureInfo.InvariantCulture, out _);
}
