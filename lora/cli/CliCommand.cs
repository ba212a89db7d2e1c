using System.CommandLine;

namespace CudaLora.Cli;

/// <summary>A command whose options are <see cref="Setting"/>s: the same on the command line and in a config
/// file.</summary>
internal abstract class CliCommand : Command
{
    private Terminal? terminal;
    private Argument<string>? argument;

    protected CliCommand(string name, string summary, IReadOnlyList<SettingGroup> groups,
        IReadOnlyList<string> examples) :
        base(name, summary)
    {
        Groups = [.. groups, new SettingGroup("General", SharedSettings.Config, SharedSettings.Debug)];
        Examples = examples;
        Settings = [.. Groups.SelectMany(g => g.Settings)];
        foreach (var setting in Settings) Add(setting.Option);
        SetAction(parsed =>
        {
            var values = SettingValues.Read(parsed, Settings, argument);
            return Run(values, terminal!);
        });
    }

    /// <summary>All settings as help shows them.</summary>
    public IReadOnlyList<SettingGroup> Groups { get; }

    public IReadOnlyList<Setting> Settings { get; }

    /// <summary>Complete command lines.</summary>
    public IReadOnlyList<string> Examples { get; }

    public CliCommand On(Terminal where)
    {
        terminal = where;
        return this;
    }

    /// <summary>Gives the command a positional argument, found in <see cref="SettingValues.Argument"/>.</summary>
    protected void Take(Argument<string> positional)
    {
        argument = positional;
        Add(positional);
    }

    /// <summary>Does it and returns the exit code.</summary>
    protected abstract int Run(SettingValues values, Terminal terminal);
}
