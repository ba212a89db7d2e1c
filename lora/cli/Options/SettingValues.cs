using System.CommandLine;
using System.CommandLine.Parsing;

namespace CudaLora.Cli;

/// <summary>The values in effect: command line before config file before default.</summary>
internal sealed class SettingValues
{
    private readonly Dictionary<Setting, object?> given = [];

    /// <summary>The command line as it was typed, quoted where a shell needs it.</summary>
    public string CommandLine { get; private init; } = "";

    /// <summary>The value of the command's positional argument, if it takes one.</summary>
    public string? Argument { get; private init; }

    public T Get<T>(Setting<T> setting) => given.TryGetValue(setting, out var value) ? (T)value! : setting.Default;

    /// <summary>True if the user set it.</summary>
    public bool IsGiven(Setting setting) => given.ContainsKey(setting);

    /// <summary>The value the user must give.</summary>
    /// <exception cref="UsageException">It is missing.</exception>
    public T Require<T>(Setting<T?> setting) where T : class => Get(setting)
        ?? throw new UsageException(
        $"{setting.Flag} is needed: {setting.Help}, such as {setting.Flag} {setting.Example}");

    /// <summary>What was given, as texts, in the order of <paramref name="settings"/>.</summary>
    public IEnumerable<(Setting Setting, IReadOnlyList<string> Texts)> Given(IEnumerable<Setting> settings) =>
        from setting in settings
        where given.ContainsKey(setting)
        let texts = setting.Texts(given[setting])
        where texts is not null
        select (setting, texts);

    /// <summary>Sets what is not set yet.</summary>
    public void AddDefault<T>(Setting<T> setting, T value) => given.TryAdd(setting, value);

    /// <summary>Takes from a config file what is not set yet.</summary>
    public void AddDefaults(string path, IReadOnlyList<Setting> settings, IReadOnlyList<Setting>? except = null)
    {
        foreach (var (setting, value) in ConfigFile.Read(path, settings))
        {
            if (except?.Contains(setting) != true)
                given.TryAdd(setting, value);
        }
    }

    /// <summary>Reads the command line's values and, if --config is among them, the file's.</summary>
    public static SettingValues Read(ParseResult parsed, IReadOnlyList<Setting> settings,
        Argument<string>? argument = null)
    {
        var values = new SettingValues
        {
            CommandLine = Shell.Line(parsed.Tokens.Select(t => t.Value)),
            Argument = argument is null ? null : parsed.GetValue(argument),
        };
        foreach (var setting in settings)
        {
            if (parsed.GetResult(setting.Option) is not { Implicit: false } result) continue;
            var texts = result.Tokens.Select(t => t.Value).ToArray();
            RefuseFlagAsValue(setting, result, texts, settings);
            values.given[setting] = setting.Parse(texts, result.IdentifierToken?.Value ?? setting.Flag);
        }
        if (values.Get(SharedSettings.Config) is { } path) values.AddDefaults(path, settings);
        return values;
    }

    // System.CommandLine hands a mistyped flag to the option before it as one more value.
    private static void RefuseFlagAsValue(
        Setting setting, OptionResult result, string[] texts, IReadOnlyList<Setting> settings)
    {
        if (setting.IsFreeText) return;
        for (var i = 0; i < texts.Length; i++)
        {
            if (!texts[i].StartsWith("--", StringComparison.Ordinal)) continue;
            if (i > 0) throw CommandLineErrors.UnknownOption(texts[i], settings.Select(s => s.Flag));
            var flag = result.IdentifierToken?.Value ?? setting.Flag;
            throw new UsageException($"{flag} needs a value ({setting.Accepts}), but got '{texts[i]}'");
        }
    }
}
