using System.Diagnostics;
using System.Reflection;
using System.Runtime.InteropServices;
using System.Text.Json.Nodes;
using CudaLora.Engine;
using CudaLora.Lora;

namespace CudaLora.Cli;

/// <summary>summary.json: what a run did, for scripts and comparisons.</summary>
internal sealed record RunSummary(
    RunFacts Facts, IFineTuning Method, TrainingResult Result, HeldOutScore Before, HeldOutScore After,
    TrainingArguments Arguments, int TrainExamples, int EvalExamples)
{
    public const string FileName = "summary.json";

    public static string Version { get; } =
        typeof(RunSummary).Assembly.GetCustomAttribute<AssemblyInformationalVersionAttribute>()?.InformationalVersion
        ?? "unknown";

    public void Write(string folder) =>
        AtomicFile.WriteText(Path.Combine(folder, FileName), ReportJson.Text(ToJson()) + "\n");

    private JsonObject ToJson()
    {
        long total = Method.AddedParameters + Method.Model.ParameterCount;
        return new JsonObject
        {
            ["method"] = Method.Method,
            ["quantization"] = Method.Model.Quantization is { } bits ? QuantizationTable.Describe(bits) : null,
            ["eval_loss_before"] = ReportJson.Number(Before.Loss),
            ["eval_loss_after"] = ReportJson.Number(After.Loss),
            ["exact_match_before"] = ReportJson.Number(Before.ExactMatch),
            ["exact_match_after"] = ReportJson.Number(After.ExactMatch),
            ["exact_match_samples"] = After.Answers.Count,
            ["train_loss"] = ReportJson.Number(Result.TrainLoss),
            ["train_steps"] = Result.Steps,
            ["train_end"] = Result.End switch
            {
                TrainingEnd.EarlyStop => "early_stop",
                TrainingEnd.Interrupted => "interrupted",
                _ => "completed",
            },
            ["train_examples"] = TrainExamples,
            ["eval_examples"] = EvalExamples,
            ["train_tokens"] = Result.State.NumInputTokensSeen,
            ["train_runtime_s"] = Math.Round(Result.Runtime.TotalSeconds, 3),
            ["tokens_per_second"] = Math.Round(Result.TokensPerSecond, 1),
            ["trainable_parameters"] = Method.Groups(Arguments).Sum(g => g.Parameters.Sum(p => (long)p.Value.Count)),
            ["total_parameters"] = total,
            ["peak_memory_bytes"] = Method.Model.Device.Memory.Peak,
            ["peak_process_bytes"] = PeakProcess(),
            ["device"] = Facts.Device,
            ["seed"] = Facts.Seed,
            ["model"] = Facts.Model,
            ["data"] = Facts.Data,
            ["command"] = Facts.Command,
            ["versions"] = new JsonObject
            {
                ["cudalora"] = Version,
                ["dotnet"] = RuntimeInformation.FrameworkDescription,
                ["os"] = RuntimeInformation.OSDescription,
            },
        };
    }

    private static long PeakProcess()
    {
        using var process = Process.GetCurrentProcess();
        return process.PeakWorkingSet64;
    }
}
