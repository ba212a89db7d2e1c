using System.CommandLine;
using System.CommandLine.Invocation;
using System.Text;

namespace CudaLora.Cli;

/// <summary>Help: what the command does, its options in groups with example values and defaults, and whole
/// examples.</summary>
internal sealed class HelpText(Terminal terminal) : SynchronousCommandLineAction
{
    private const int MaxLeft = 40;

    public override bool ClearsParseErrors => true;

    public override int Invoke(ParseResult parseResult)
    {
        Write(parseResult.CommandResult.Command, terminal.Output, terminal.Width);
        return ExitCode.Success;
    }

    public static void Write(Command command, TextWriter output, int width)
    {
        output.WriteLine(command.Description);
        output.WriteLine();
        output.WriteLine($"Usage: {Usage(command)}");
        var commands = command.Subcommands.Where(c => !c.Hidden).Select(c => (c.Name, c.Description ?? "")).ToArray();
        Section(output, "Commands", commands, width);
        Section(output, "Arguments", [.. command.Arguments.Select(a => (a.Name, a.Description ?? ""))], width);
        if (command is CliCommand known)
        {
            foreach (var group in known.Groups)
                Section(output, group.Title, [.. group.Settings.Select(Row)], width);
            Section(output, "Examples", [.. known.Examples.Select(e => (e, ""))], int.MaxValue);
            output.WriteLine();
            foreach (var line in Wrap(
                "Names may also be written as in Hugging Face: --learning_rate. Lists: --x a b or --x a,b.", width))
                output.WriteLine(line);
        }
        else
        {
            Section(output, "Options", [.. command.Options.Where(o => !o.Hidden).Select(Row)], width);
        }
        if (command is RootCommand)
        {
            Section(
                output, "Start with",
                [
                    ("cudalora train", "fine-tune the bundled model"),
                    ("cudalora COMMAND --help", "what a command takes"),
                ],
                width);
        }
    }

    private static string Usage(Command command)
    {
        if (command is RootCommand) return "cudalora COMMAND [options]";
        var path = command.Name;
        for (var at = Parent(command); at is not (null or RootCommand); at = Parent(at)) path = $"{at.Name} {path}";
        var arguments = string.Concat(command.Arguments.Select(a => $" {a.Name}"));
        return $"cudalora {path}{(command.Subcommands.Count > 0 ? " COMMAND" : "")}{arguments} [options]";
    }

    private static Command? Parent(Command command) => command.Parents.OfType<Command>().FirstOrDefault();

    private static (string Left, string Right) Row(Setting setting)
    {
        var left = setting.Example.Length == 0 ? setting.Flag : $"{setting.Flag} {Shell.Quote(setting.Example)}";
        var aka = setting.OtherKeys.Length == 0 ? ""
            : $"; also {string.Join(", ", setting.OtherKeys.Select(Setting.FlagOf))}";
        // Only choices need their words listed; what numbers must be is said when one is wrong.
        var only = setting is Setting<string> ? $": {setting.Accepts}" : "";
        var shown = setting.ShownDefault is { Length: > 0 } text ? $" (default: {text}{aka})" : aka.Length > 0
            ? $" ({aka[2..]})" : "";
        return (left, setting.Help + only + shown);
    }

    private static (string Left, string Right) Row(Option option) =>
        (string.Join(", ", option.Aliases.Prepend(option.Name).Where(n => n.StartsWith('-') && n is not "-?")),
        option.Description ?? "");

    private static void Section(TextWriter output, string title, (string Left, string Right)[] rows, int width)
    {
        if (rows.Length == 0) return;
        output.WriteLine();
        output.WriteLine($"{title}:");
        var left = Math.Min(MaxLeft, rows.Max(r => r.Left.Length));
        foreach (var (name, text) in rows)
        {
            var lines = text.Length == 0 ? [] : Wrap(text, Math.Max(30, width - left - 4)).ToArray();
            var first = name.Length <= left ? 1 : 0;
            output.WriteLine(first == 1 && lines.Length > 0 ? $"  {name.PadRight(left)}  {lines[0]}" : $"  {name}");
            foreach (var line in lines.Skip(first)) output.WriteLine($"  {"".PadRight(left)}  {line}");
        }
    }

    private static IEnumerable<string> Wrap(string text, int width)
    {
        var line = new StringBuilder();
        foreach (var word in text.Split(' '))
        {
            if (line.Length > 0 && line.Length + 1 + word.Length > width)
            {
                yield return line.ToString();
                line.Clear();
            }
            if (line.Length > 0) line.Append(' ');
            line.Append(word);
        }
        if (line.Length > 0) yield return line.ToString();
    }
}
