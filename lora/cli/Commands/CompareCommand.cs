using System.Globalization;
using System.Text.Json.Nodes;
using CudaLora.Engine;

namespace CudaLora.Cli;

/// <summary><c>cudalora compare</c>.</summary>
internal sealed class CompareCommand() : CliCommand(
    "compare", "Train the same model on the same data with every method, and compare them in one table.",
    [
        new SettingGroup("What", Model, Data, EvalData, Methods, Quick),
        new SettingGroup("Budget", Steps, Seeds, BatchSize, LearningRate, LearningRates, ExactMatch, Target),
        new SettingGroup("Output", Output, SharedSettings.Device, SharedSettings.Threads),
    ],
    [
        "cudalora compare --quick --output out/compare",
        "cudalora compare --methods lora,dora,adalora --max-steps 300 --seeds 5 --output out/three",
    ])
{
    private const int QuickSteps = 40;
    private const int UsualSteps = 250;
    private const int FirstSeed = 42;

    private static readonly Setting<string?> Model = Make.Text(
        "model", "Model folder in Hugging Face layout", "models/TinyStories-656K", aka: ["model_name_or_path"],
        shown: "the bundled model");

    private static readonly Setting<string?> Data = Make.Text(
        "data", "Training records", "data/alpaca.json", aka: ["dataset"], shown: "the bundled instructions");

    private static readonly Setting<string?> EvalData = Make.Text(
        "eval_data", "Held-out records", "data/held.json", shown: "the bundled ones, else a part of the data");

    private static readonly Setting<string[]> Methods = Make.List(
        "methods", "The methods", "lora,dora", "names of methods, separated by commas",
        [.. FineTuningMethods.All.Select(m => m.Name)], shown: "all");

    private static readonly Setting<bool> Quick = Make.Switch(
        "quick", $"{QuickSteps} steps instead of {UsualSteps} and fewer answers: some minutes in all");

    private static readonly Setting<int?> Steps = Make.MaybeInt(
        "max_steps", "Optimiser steps of each run", "300", 1, $"{UsualSteps}; {QuickSteps} if quick");

    private static readonly Setting<int> Seeds = Make.Int(
        "seeds", "Runs of each method, each with its seed", 3, "5", 1);

    private static readonly Setting<int> BatchSize = Make.Int(
        "per_device_train_batch_size", "Examples per step", 32, "16", 1, aka: ["batch_size"]);

    private static readonly Setting<double?> LearningRate = Make.MaybeNumber(
        "learning_rate", "One rate for all methods", "1e-3", "a number above 0", v => v > 0, "each method's own",
        aka: ["lr"]);

    private static readonly Setting<string[]> LearningRates = Make.List(
        "learning_rates", "Rates of single methods", "full=1e-3,bitfit=1e-2", "method=rate, separated by commas",
        shown: "each method's own");

    private static readonly Setting<int?> ExactMatch = Make.MaybeInt(
        "exact_match_samples", "Held-out records answered in full", "100", 0, "100; 24 if quick");

    private static readonly Setting<double?> Target = Make.MaybeNumber(
        "target_loss", "Held-out loss whose step is reported", "2", "a number", _ => true,
        "the median of the methods' final losses");

    private static readonly Setting<string?> Output = Make.Text(
        "output_dir", "Folder for the table, the pictures and all runs", "out/compare", "out/compare", aka: ["output"]);

    protected override int Run(SettingValues values, Terminal terminal)
    {
        var known = FineTuningMethods.All.Select(m => m.Name).ToArray();
        var methods = values.Get(Methods);
        if (methods.FirstOrDefault(m => !known.Contains(m)) is { } unknown)
            throw new UsageException(
                $"{Methods.Flag} must be among {string.Join(", ", known)}, but has '{unknown}'");
        var output = values.Require(Output);
        var steps = values.Get(Steps) ?? (values.Get(Quick) ? QuickSteps : UsualSteps);
        var options = TrainOptions(values, steps);
        var rates = Rates(values, methods);
        int[] seeds = [.. Enumerable.Range(FirstSeed, values.Get(Seeds))];
        var rows = methods.Select(method => new CompareRow(method, [.. seeds.Select(seed =>
            new CompareCell(
                method, seed, Path.Combine(output, "runs", $"{method}-{seed}"), [.. options, .. Rate(method)]))]))
            .ToArray();
        if (!RunAll(terminal, rows, seeds.Length))
        {
            terminal.Line($"interrupted; go on with:\n  {values.CommandLine}");
            return ExitCode.Interrupted;
        }
        rows = [.. methods.Zip(rows, (method, row) => new CompareRow(method, row.Cells))];
        Report(terminal, values, rows, steps, output);
        return rows.All(row => row.Error is not null)
            ? throw new UserErrorException($"every method failed; {methods[0]}: {rows[0].Error}")
            : ExitCode.Success;

        string[] Rate(string method) => rates.TryGetValue(method, out var rate)
            ? ["--learning-rate", rate.ToString("R", CultureInfo.InvariantCulture)]
            : [];
    }

    /// <summary>The rate of each method that one is given for.</summary>
    private static Dictionary<string, double> Rates(SettingValues values, string[] methods)
    {
        var all = values.Get(LearningRate) is double rate ? methods.ToDictionary(m => m, _ => rate) : [];
        foreach (var entry in values.Get(LearningRates))
        {
            var parts = entry.Split('=');
            if (parts.Length != 2 || !methods.Contains(parts[0])
                || !double.TryParse(parts[1], NumberStyles.Float, CultureInfo.InvariantCulture, out var own)
                || !double.IsFinite(own) || own <= 0)
                throw new UsageException($"{LearningRates.Flag} takes METHOD=RATE with a method that is compared "
                    + $"({string.Join(", ", methods)}) and a number above 0, but has '{entry}'");
            all[parts[0]] = own;
        }
        return all;
    }

    private static bool RunAll(Terminal terminal, CompareRow[] rows, int seeds)
    {
        var (at, count) = (0, rows.Length * seeds);
        foreach (var cell in rows.SelectMany(row => row.Cells))
        {
            at++;
            if (!cell.Run()) return false;
            terminal.Line($"[{at}/{count}] {cell.Method}, seed {cell.Seed}: "
                + (cell.Error is null ? $"held-out loss {Figures.Loss(cell.Loss)}" : $"failed: {cell.Error}"));
        }
        return true;
    }

    private static void Report(
        Terminal terminal, SettingValues values, CompareRow[] rows, int steps, string output)
    {
        var losses = rows.Where(row => row.Error is null).Select(row => row.Loss.Mean).Order().ToArray();
        var target = values.Get(Target) ?? (losses.Length == 0 ? 0 : losses[losses.Length / 2]);
        terminal.Line();
        terminal.Line($"target: a held-out loss of {Figures.Loss(target)}");
        CompareTable.Print(terminal, rows, target);
        AtomicFile.WriteText(
            Path.Combine(output, "compare.md"), CompareTable.Markdown(rows, target, values.CommandLine));
        var json = new JsonObject
        {
            ["command"] = values.CommandLine,
            ["steps"] = steps,
            ["target_loss"] = ReportJson.Number(target),
            ["methods"] = new JsonArray([.. rows.Select(row => row.ToJson(target))]),
        };
        AtomicFile.WriteText(Path.Combine(output, "compare.json"), ReportJson.Text(json) + "\n");
        CompareChart.Write(output, rows, steps);
        terminal.Line();
        terminal.Line($"written to {output}: compare.md, compare.json, compare_parameters.png, compare_time.png, runs");
    }

    private static string[] TrainOptions(SettingValues values, int steps)
    {
        var every = Math.Max(1, steps / (values.Get(Quick) ? 4 : 10));
        var answers = values.Get(ExactMatch) ?? (values.Get(Quick) ? 24 : 100);
        var options = new List<string>
        {
            "--max-steps", Text(steps), "--batch-size", Text(values.Get(BatchSize)), "--group-by-length",
            "--eval-steps", Text(every), "--save-strategy", "no", "--exact-match-samples", Text(answers),
            "--device", values.Get(SharedSettings.Device),
        };
        Add("--model", values.Get(Model));
        Add("--data", values.Get(Data));
        Add("--eval-data", values.Get(EvalData));
        if (values.IsGiven(SharedSettings.Threads)) Add("--threads", SharedSettings.Threads.Texts(
            values.Get(SharedSettings.Threads))![0]);
        return [.. options];

        void Add(string flag, string? value)
        {
            if (value is not null) options.AddRange([flag, value]);
        }
    }

    private static string Text(int value) => value.ToString(CultureInfo.InvariantCulture);
}
