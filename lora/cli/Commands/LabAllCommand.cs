using CudaLora.Engine;

namespace CudaLora.Cli;

/// <summary><c>cudalora lab all</c>: every experiment, and one page with all of them.</summary>
internal sealed class LabAllCommand() : CliCommand(
    "all", "Every experiment, and one HTML page with all of them.", LabSettings.Groups,
    ["cudalora lab all --quick --output report"])
{
    private const string PageName = "report.html";

    protected override int Run(SettingValues values, Terminal terminal)
    {
        var (options, output) = LabSettings.Read(values, terminal);
        var parts = new List<(LabExperiment Experiment, LabReport? Report, string? Error)>();
        foreach (var experiment in LabExperiments.All)
        {
            try
            {
                var report = experiment.Run(options);
                report.Write(output, values.CommandLine);
                report.Print(terminal);
                parts.Add((experiment, report, null));
            }
            catch (UserErrorException e)
            {
                // The others are still worth having.
                terminal.Error.WriteLine($"{experiment.Name} failed: {e.Message}");
                parts.Add((experiment, null, e.Message));
            }
            AtomicFile.WriteText(
                Path.Combine(output, PageName), LabHtml.Page(values.CommandLine, options.About, parts));
        }
        terminal.Line();
        terminal.Line($"written to {output}: {PageName}, and numbers and pictures of each experiment");
        return parts.All(part => part.Report is null) ? ExitCode.Failure : ExitCode.Success;
    }
}
