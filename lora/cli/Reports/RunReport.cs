using CudaLora.Lora;

namespace CudaLora.Cli;

/// <summary>What is printed at the end of a run: scores, samples, files, what to try next.</summary>
internal static class RunReport
{
    private const int Samples = 3;

    public static void Print(
        Terminal terminal, LoadedModel loaded, IFineTuning method, string folder, TrainingResult result,
        HeldOutScore before, HeldOutScore after)
    {
        terminal.Line();
        terminal.Line($"trained {Figures.Count(result.Steps)} steps in {Figures.Time(result.Runtime)}, "
            + $"{Figures.Count(result.TokensPerSecond)} tokens/s, train loss {Figures.Loss(result.TrainLoss)}"
            + (result.End == TrainingEnd.EarlyStop ? "; stopped early: the held-out loss no longer fell" : ""));
        PrintScores(terminal, before, after);
        if (loaded.Adapter is AdaLoraAdapter adaptive) RankMap.Print(terminal, adaptive.Ranks, adaptive.Config.InitR);
        PrintSamples(terminal, before, after);
        PrintFiles(terminal, folder, method.SavesModel);
        PrintNext(terminal, loaded, method.SavesModel, folder, after);
    }

    private static void PrintScores(Terminal terminal, HeldOutScore before, HeldOutScore after)
    {
        if (after.Loss is not double loss || before.Loss is not double first) return;
        terminal.Line();
        Row("held out", "before", "after");
        Row("loss", Figures.Loss(first), Figures.Loss(loss));
        Row("perplexity", Figures.Short(before.Perplexity!.Value), Figures.Short(after.Perplexity!.Value));
        if (after.ExactMatch is double share && before.ExactMatch is double was)
            Row("exact match", Figures.Percent(was), Figures.Percent(share), $"   ({after.Answers.Count} answers)");

        void Row(string name, string left, string right, string more = "") =>
            terminal.Line($"{name,-16}{left,12}{right,12}{more}");
    }

    private static void PrintSamples(Terminal terminal, HeldOutScore before, HeldOutScore after)
    {
        var room = terminal.Width - 12;
        foreach (var (was, now) in before.Answers.Zip(after.Answers).DistinctBy(a => a.Second.Prompt).Take(Samples))
        {
            terminal.Line();
            terminal.Line($"  prompt    {Figures.OneLine(now.Prompt, room)}");
            terminal.Line($"  expected  {Figures.OneLine(now.Expected, room)}");
            terminal.Line($"  before    {Figures.OneLine(was.Given, room)}");
            terminal.Line($"  after     {Figures.OneLine(now.Given, room)}");
        }
    }

    private static void PrintFiles(Terminal terminal, string folder, bool isModel)
    {
        terminal.Line();
        terminal.Line($"written to {folder}:");
        (string Name, string What)[] files =
        [
            isModel
                ? ("model.safetensors", "the model, with config and tokenizer: a normal model folder")
                : ("adapter_model.safetensors", "the adapter, with adapter_config.json: PEFT's layout"),
            (LossChart.PngName, "the loss curve (also training_loss.svg)"),
            (RunSummary.FileName, "scores, speed, memory"),
            (TrainingLog.FileName, "a row per log step"),
            (TrainerState.FileName, "state and history, as Hugging Face writes it"),
            (RunConfig.FileName, "these options, for --config"),
        ];
        foreach (var (name, what) in files)
        {
            if (File.Exists(Path.Combine(folder, name))) terminal.Line($"  {name,-28}{what}");
        }
    }

    private static void PrintNext(
        Terminal terminal, LoadedModel loaded, bool isModel, string folder, HeldOutScore after)
    {
        string[] model = isModel ? ["--model", folder] : ["--model", loaded.Folder, "--adapter", folder];
        var prompt = after.Answers.MinBy(a => a.Prompt.Length)?.Prompt ?? "Once upon a time";
        string[] template = after.Answers.Count > 0 ? ["--template", loaded.Template.Name] : [];
        terminal.Line();
        terminal.Line("try next:");
        terminal.Line("  " + Shell.Line(["generate", .. model, .. template, "--prompt", prompt, "--temperature", "0"]));
        if (!isModel && loaded.Adapter is not VirtualTokenAdapter) terminal.Line("  "
            + Shell.Line(["merge", .. model, "--output", folder.TrimEnd('/') + "-merged"]));
        terminal.Line("  " + Shell.Line("inspect", folder));
    }
}
