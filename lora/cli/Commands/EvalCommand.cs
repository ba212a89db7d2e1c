using System.Diagnostics;
using System.Text.Json.Nodes;
using CudaLora.Engine;
using CudaLora.Lora;

namespace CudaLora.Cli;

/// <summary><c>cudalora eval</c>.</summary>
internal sealed class EvalCommand() : CliCommand(
    "eval", "Score a model, with or without an adapter: loss, perplexity, exact match.",
    [
        new SettingGroup("Model", SharedSettings.BaseModel, AdapterSettings.Adapter),
        new SettingGroup(
            "Data", Data, DataSettings.Format, DataSettings.Delimiter, DataSettings.Template,
            DataSettings.TrainOnPrompt,
            DataSettings.MaxLength, DataSettings.MaxSamples, DataSettings.ExactMatchSamples,
            TrainSettings.EvalBatchSize),
        QuantizeSettings.LoadGroup,
        new SettingGroup(
            "Output", Json, Output, SharedSettings.Device, SharedSettings.ComputeType, SharedSettings.Threads),
    ],
    [
        "cudalora eval --model models/TinyStories-656K --data data/alpaca.json",
        "cudalora eval --model models/TinyStories-656K --adapter out/alpaca --data data/alpaca.json --json",
    ])
{
    private static readonly Setting<string?> Data = Make.Text(
        "data", "The records to score: JSON, JSONL or text", "data/alpaca.json", aka: ["dataset", "eval_data"],
        shown: "of the bundled model, its held-out records");

    private static readonly Setting<bool> Json = Make.Switch("json", "Print JSON instead of a table");

    private static readonly Setting<string?> Output =
        Make.Text("output", "Also write the JSON to this file", "out/eval.json");

    protected override int Run(SettingValues values, Terminal terminal)
    {
        var model = BundledExample.RequireModel(
            values.Get(SharedSettings.BaseModel), values.Get(AdapterSettings.Adapter));
        var data = BundledExample.RequireEvalData(values.Get(Data), model);
        using var device = SharedSettings.Apply(values);
        terminal.Error.WriteLine(device);
        using var interrupt = new Interrupt(_ => { });
        using var loaded = LoadedModel.Load(
            model, values.Get(DataSettings.Template), values.Get(AdapterSettings.Adapter), Note, device.Placement(),
            QuantizeSettings.OfLoad(values));
        var encoder = loaded.Encoder(values, Note);
        IReadOnlyList<DataExample> records = DataFile.Load(data, DataSettings.Options(values));
        if (values.Get(DataSettings.MaxSamples) is int most && most < records.Count) records = [.. records.Take(most)];
        var set = RecordSet.Encode(encoder, records, "scored", Note);

        var watch = Stopwatch.StartNew();
        var (loss, _, examples) =
            new Evaluator(new Sft(), TrainingRun.HeldBatches(loaded, set, values.Get(TrainSettings.EvalBatchSize)))
            .Run(loaded.Model, (_, _) => interrupt.Token.ThrowIfCancellationRequested());
        var answers = AnswerCheck.Run(
            loaded, encoder, set.Records, values.Get(DataSettings.ExactMatchSamples), stop: interrupt.Token);
        var score = new HeldOutScore(loss, answers);
        var json = ReportJson.Text(ToJson(values, (model, data), score, examples, watch.Elapsed, device));
        if (values.Get(Output) is { } file) AtomicFile.WriteText(file, json + "\n");
        if (values.Get(Json)) terminal.Line(json);
        else Print(terminal, score, examples, watch.Elapsed);
        return ExitCode.Success;

        void Note(string message) => terminal.Error.WriteLine($"note: {message}");
    }

    private static void Print(Terminal terminal, HeldOutScore score, int examples, TimeSpan time)
    {
        terminal.Line($"{"loss",-14}{Figures.Loss(score.Loss!.Value),12}   per learned token");
        terminal.Line($"{"perplexity",-14}{Figures.Short(score.Perplexity!.Value),12}");
        if (score.ExactMatch is double share)
            terminal.Line($"{"exact match",-14}{Figures.Percent(share),12}   {score.Answers.Count} answers");
        terminal.Line($"{"examples",-14}{Figures.Count(examples),12}   in {Figures.Time(time)}");
    }

    private static JsonObject ToJson(
        SettingValues values, (string Model, string Data) of, HeldOutScore score, int examples, TimeSpan time,
        DeviceChoice device) => new()
        {
            ["model"] = of.Model,
            ["adapter"] = values.Get(AdapterSettings.Adapter),
            ["data"] = of.Data,
            ["eval_loss"] = ReportJson.Number(score.Loss),
            ["perplexity"] = ReportJson.Number(score.Perplexity),
            ["exact_match"] = score.ExactMatch,
            ["exact_match_samples"] = score.Answers.Count,
            ["eval_examples"] = examples,
            ["eval_runtime_s"] = Math.Round(time.TotalSeconds, 3),
            ["device"] = device.Device.Name,
            ["command"] = values.CommandLine,
        };
}
