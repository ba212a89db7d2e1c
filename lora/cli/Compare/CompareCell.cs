using System.Text.Json;
using System.Text.Json.Nodes;
using CudaLora.Engine;
using CudaLora.Lora;

namespace CudaLora.Cli;

/// <summary>
/// One run of the comparison: a method with a seed, trained by the <c>train</c> command into a folder of its own. What
/// a former comparison has finished with the same options is not run again.
/// </summary>
internal sealed class CompareCell(string method, int seed, string folder, string[] options)
{
    private const string FileName = "cell.json";
    private const string LogName = "output.txt";

    private static readonly string[] Weights = ["adapter_model.safetensors", "model.safetensors"];

    public string Method { get; } = method;

    public int Seed { get; } = seed;

    /// <summary>Why it failed, or null.</summary>
    public string? Error { get; private set; }

    /// <summary>Held-out loss by step, the last row that of the finished run.</summary>
    public IReadOnlyList<(int Step, double Loss)> Losses { get; private set; } = [];

    public double Loss { get; private set; }

    public double? ExactMatch { get; private set; }

    public long Trained { get; private set; }

    public long Total { get; private set; }

    public long PeakMemory { get; private set; }

    public double SecondsPerStep { get; private set; }

    public long FileBytes { get; private set; }

    private string[] Arguments =>
        [
            "train", "--method", Method, "--seed", $"{Seed}", "--output", folder, TrainSettings.Overwrite.Flag,
            "--no-progress", .. options,
        ];

    /// <summary>Runs it, or takes what is there; false when it was interrupted.</summary>
    public bool Run()
    {
        if (!IsDone())
        {
            Directory.CreateDirectory(folder);
            using var output = new StringWriter();
            using var errors = new StringWriter();
            var code = Cli.Run(Arguments, new Terminal(output, errors));
            AtomicFile.WriteText(Path.Combine(folder, LogName), $"{output}{errors}");
            if (code == ExitCode.Interrupted) return false;
            Write(code, FirstError(errors.ToString()));
        }
        if (Error is null) ReadSummary();
        return true;
    }

    private static string? FirstError(string text) => text.Split('\n')
        .FirstOrDefault(line => line.StartsWith("error: ", StringComparison.Ordinal))?["error: ".Length..].Trim();

    private bool IsDone()
    {
        var path = Path.Combine(folder, FileName);
        if (!File.Exists(path)) return false;
        try
        {
            var json = JsonNode.Parse(File.ReadAllText(path))!;
            return (int)json["exit_code"]! == ExitCode.Success
                && json["arguments"]!.AsArray().Select(a => (string)a!).SequenceEqual(Arguments);
        }
        catch (Exception e) when (e is JsonException or NullReferenceException or InvalidOperationException)
        {
            return false;
        }
    }

    private void Write(int code, string? error)
    {
        Error = code == ExitCode.Success ? null : error ?? $"exit code {code}";
        var json = new JsonObject
        {
            ["arguments"] = new JsonArray([.. Arguments.Select(a => JsonValue.Create(a))]),
            ["exit_code"] = code,
            ["error"] = Error,
        };
        AtomicFile.WriteText(Path.Combine(folder, FileName), ReportJson.Text(json) + "\n");
    }

    private void ReadSummary()
    {
        var json = JsonNode.Parse(File.ReadAllText(Path.Combine(folder, RunSummary.FileName)))!;
        Loss = (double?)json["eval_loss_after"] ?? double.NaN;
        ExactMatch = (double?)json["exact_match_after"];
        Trained = (long)json["trainable_parameters"]!;
        Total = (long)json["total_parameters"]!;
        PeakMemory = (long)json["peak_memory_bytes"]!;
        var steps = (int)json["train_steps"]!;
        // Scoring in between is no part of a step.
        SecondsPerStep = (double)json["train_tokens"]! / (double)json["tokens_per_second"]! / steps;
        Losses = [.. TrainerState.Read(folder).LogHistory.Where(row => row["eval_loss"] is not null)
            .Select(row => ((int)row["step"]!, (double)row["eval_loss"]!)), (steps, Loss)];
        FileBytes = Weights
            .Select(name => new FileInfo(Path.Combine(folder, name)))
            .Where(file => file.Exists).Sum(file => file.Length);
    }
}
