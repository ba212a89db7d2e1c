using System.CommandLine;

namespace CudaLora.Cli;

/// <summary><c>cudalora lab NAME</c>: one experiment.</summary>
internal sealed class LabCommand(LabExperiment experiment) : CliCommand(
    experiment.Name, experiment.Summary + ".", LabSettings.Groups,
    [$"cudalora lab {experiment.Name} --quick --output out/lab"])
{
    /// <summary>The group <c>cudalora lab</c>, with a command per experiment.</summary>
    public static Command Create(Terminal terminal)
    {
        var command = new Command("lab", "Experiments that show how LoRA works: numbers, pictures, explanations.");
        foreach (var experiment in LabExperiments.All) command.Add(new LabCommand(experiment).On(terminal));
        command.Add(new LabAllCommand().On(terminal));
        command.SetAction(int (ParseResult _) => throw new UsageException(
            $"lab needs one of {string.Join(", ", command.Subcommands.Select(sub => sub.Name))}"));
        return command;
    }

    protected override int Run(SettingValues values, Terminal terminal)
    {
        var (options, output) = LabSettings.Read(values, terminal);
        var report = experiment.Run(options);
        report.Write(output, values.CommandLine);
        report.Print(terminal);
        terminal.Line();
        terminal.Line($"written to {output}: {experiment.Name}.json, "
            + string.Join(", ", report.Pictures.Select(picture => $"{picture.Name}.png")));
        return ExitCode.Success;
    }
}
