using CudaLora.Engine;

namespace CudaLora.Cli;

/// <summary><c>cudalora bench</c>.</summary>
internal sealed class BenchCommand() : CliCommand(
    "bench", "Measure this machine: products, LoRA layers, ops, files, generation, training, against its ceilings.",
    [
        new SettingGroup("What", Filter, Quick, Where),
        new SettingGroup("Report", Output, Against, FailOnRegression),
        new SettingGroup("Machine", SharedSettings.Threads),
    ],
    [
        "cudalora bench --quick --output out/bench.json",
        "cudalora bench --against out/bench.json --fail-on-regression --output out/now.json",
        "cudalora bench --filter product --quick",
    ])
{
    private const int QuickRepeats = 15;
    private const int UsualRepeats = 50;

    private static readonly Setting<string?> Filter = Make.Text(
        "filter", "Only measurements whose group or name holds this text", "product", shown: "all");

    private static readonly Setting<bool> Quick = Make.Switch(
        "quick", "Shorter samples: less than a minute on a machine with nothing else to do");

    private static readonly Setting<string> Where = Make.Choice(
        "device", "cuda adds the kernels of 'kernels bench' to the CPU's rows", "cpu", ["cpu", "cuda", "emulator"]);

    private static readonly Setting<string?> Output = Make.Text(
        "output", "JSON report; Markdown and the roofline, SVG and PNG, go beside it", "out/bench.json",
        "out/bench.json");

    private static readonly Setting<string?> Against = Make.Text(
        "against", "A former JSON report to compare with", "former.json");

    private static readonly Setting<bool> FailOnRegression = Make.Switch(
        "fail_on_regression", "Exit code 1 if something is slower than in the former report, beyond the noise of both");

    protected override int Run(SettingValues values, Terminal terminal)
    {
        var (output, text, device) = (values.Require(Output), values.Get(Filter), values.Get(Where));
        if (!output.EndsWith(".json", StringComparison.OrdinalIgnoreCase))
            throw new UsageException($"{Output.Flag} must end in .json, but is '{output}'");
        if (values.Get(FailOnRegression) && values.Get(Against) is null)
            throw new UsageException($"{FailOnRegression.Flag} needs {Against.Flag}, but that is not given");
        var former = values.Get(Against) is { } path ? BenchReport.Read(path) : null;
        var all = BenchCatalogue.All();
        var cases = BenchCatalogue.Matching(all, text);
        var labs = device == "cpu" ? [] : DeviceRows.Matching(text);
        if (labs.Count == 0 && !all.Any(one => BenchCatalogue.Matches(one.Title, text)))
            throw new UsageException(
                $"no measurement holds '{text}'; the groups are "
                + string.Join(", ", all.Select(one => one.Group).Distinct()));
        if (values.Get(SharedSettings.Threads) is int threads) Kernels.Simd.Workers.Count = threads;

        var budget = values.Get(Quick) ? BenchBudget.Quick : BenchBudget.Usual;
        using var interrupt = new Interrupt(_ => terminal.Line("stopping after this measurement"));
        var run = new BenchRun(terminal, budget, interrupt.Token);
        // A GPU that is not there is said at once.
        var onDevice = labs.Count == 0 ? ((BenchCeiling, IReadOnlyList<BenchRow>)?)null : DeviceRows.Measure(
            run, device, labs, values.Get(Quick) ? QuickRepeats : UsualRepeats, interrupt.Token);
        var (ceiling, rows) = run.Measure(cases);
        var report = new BenchReport(BenchReport.FactsOf(values.CommandLine, budget), [ceiling], rows);
        if (onDevice is var (roof, kernels))
            report = report with { Ceilings = [ceiling, roof], Rows = [.. rows, .. kernels] };
        return Finish(terminal, report, former, output, values.Get(FailOnRegression));
    }

    /// <summary>Writes and prints the report, with what changed since a former one.</summary>
    public static int Finish(
        Terminal terminal, BenchReport report, BenchReport? former, string output, bool failOnRegression)
    {
        var changes = former is null ? null : BenchChange.Between(former, report);
        if (changes is { Count: 0 })
            throw new UserErrorException($"the former report has none of these {report.Rows.Count} measurements");
        var stem = Path.ChangeExtension(output, null);
        var picture = $"{Path.GetFileName(stem)}_roofline";
        AtomicFile.WriteText(output, ReportJson.Text(report.ToJson()) + "\n");
        AtomicFile.WriteText(stem + ".md", BenchTables.Markdown(report, changes, picture + ".svg"));
        RooflineChart.Write($"{stem}_roofline", report);
        BenchTables.Print(terminal, report, changes);
        if (report.Ceilings.Any(ceiling => ceiling.Device != "cpu" && ceiling.Flops == 0))
            terminal.Line("times of kernels are the emulator's: they say nothing about a GPU");
        terminal.Line($"written: {output}, {stem}.md, {stem}_roofline.svg, {stem}_roofline.png");
        if (changes is null)
        {
            terminal.Line("compare later with:");
            terminal.Line("  " + Shell.Line("bench", "--against", output, "--output", stem + "_now.json"));
            return ExitCode.Success;
        }
        foreach (var difference in report.Differences(former!)) terminal.Line($"not the same machine: {difference}");
        var slower = changes.Count(change => change.IsRegression);
        terminal.Line($"{slower} of {changes.Count} measurements are slower beyond the noise of both runs");
        return slower > 0 && failOnRegression ? ExitCode.Failure : ExitCode.Success;
    }
}
