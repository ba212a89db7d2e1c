using System.Diagnostics;
using System.Text;
using System.Text.Json.Nodes;
using CudaLora.Engine;
using CudaLora.Lora;

namespace CudaLora.Cli;

/// <summary><c>cudalora best-of-n</c>.</summary>
internal sealed class BestOfNCommand() : CliCommand(
    "best-of-n", "Rejection sampling: of several responses to each prompt the best, as data to train on.",
    [
        new SettingGroup(
            "Model, prompts and reward", PreferenceSettings.Model, AdapterSettings.Adapter, OnlineSettings.Data,
            OnlineSettings.RewardModel, OnlineSettings.Reward, DataSettings.Template, DataSettings.MaxLength,
            DataSettings.MaxSamples),
        new SettingGroup(
            "Sampling", Generations, OnlineSettings.ResponseLength, OnlineSettings.Temperature,
            OnlineSettings.MissingEos, BatchSize, TrainSettings.Seed),
        new SettingGroup("Output", Output, MinReward),
        QuantizeSettings.LoadGroup,
        new SettingGroup("Machine", SharedSettings.Device, SharedSettings.ComputeType, SharedSettings.Threads),
    ],
    [
        "cudalora best-of-n --data prompts.jsonl --reward-model out/rm --num-generations 8 --output out/best.jsonl",
        "cudalora best-of-n --data questions.jsonl --reward exact --min-reward 1 --output out/right.jsonl",
        "cudalora train --data out/best.jsonl --output out/rft",
    ])
{
    private static readonly Setting<int> Generations = Make.Int(
        "num_generations", "Responses to each prompt", 8, "16", 2, aka: ["n"]);

    private static readonly Setting<int> BatchSize = Make.Int(
        "rollout_batch_size", "Responses sampled at once", 64, "32", 1);

    private static readonly Setting<string?> Output = Make.Text(
        "output", "File for the best responses, JSON lines", "out/best.jsonl");

    private static readonly Setting<double?> MinReward = Make.MaybeNumber(
        "min_reward", "Leave out prompts whose best response has less", "1", "a number", _ => true, "none");

    protected override int Run(SettingValues values, Terminal terminal)
    {
        var model = BundledExample.RequireModel(values.Get(PreferenceSettings.Model));
        var (data, output) = (values.Require(OnlineSettings.Data), values.Require(Output));
        if (Path.GetFullPath(data) == Path.GetFullPath(output))
            throw new UsageException($"{Output.Flag} must be another file than {OnlineSettings.Data.Flag} {data}");
        if (Directory.Exists(output))
            throw new UserErrorException($"{Output.Flag} {output}: must be a file, but is a folder");
        var rule = OnlineSettings.Rule(values);
        using var device = SharedSettings.Apply(values);
        terminal.Line(device.ToString());
        using var loaded = LoadedModel.Load(
            model, values.Get(DataSettings.Template), values.Get(AdapterSettings.Adapter), Note, device.Placement(),
            QuantizeSettings.OfLoad(values));
        terminal.Line($"model: {model} ({loaded.Describe()})");
        var prompts = OnlineSettings.Prompts(values, loaded, data, Note);
        var reward = rule ?? RewardModel.Load(loaded.Model, values.Get(OnlineSettings.RewardModel)!);
        using var interrupt = new Interrupt(message => Note(message));
        var watch = Stopwatch.StartNew();
        var best = new List<BestResponse>();
        try
        {
            var each = BestOfN.Each(
                loaded.Model, new OnlineRun(prompts, loaded.Tokenizer, loaded.StopIds, reward), SamplingOf(values),
                values.Get(TrainSettings.Seed), interrupt.Token);
            foreach (var one in each)
            {
                best.Add(one);
                if (best.Count * 10 / prompts.Length > (best.Count - 1) * 10 / prompts.Length)
                    terminal.Line($"{Figures.Count(best.Count)} of {Figures.Count(prompts.Length)} prompts  "
                        + $"reward {Figures.Short(best.Average(b => (double)b.Reward))}  "
                        + $"left {Figures.Time(watch.Elapsed * (prompts.Length - best.Count) / best.Count)}");
            }
        }
        catch (OperationCanceledException)
        {
            Note($"interrupted after {best.Count} of {prompts.Length} prompts");
        }
        finally
        {
            (reward as RewardModel)?.Adapter?.Dispose();
        }
        var kept = best.Where(one => !(one.Reward < values.Get(MinReward))).ToArray();
        var lines = new StringBuilder();
        foreach (var one in kept) lines.Append(ReportJson.Line(Row(one))).Append('\n');
        AtomicFile.WriteText(output, lines.ToString());
        Print(terminal, best, kept.Length, values.Get(Generations), output);
        return best.Count == prompts.Length ? ExitCode.Success : ExitCode.Interrupted;

        void Note(string message) => terminal.Line($"note: {message}");
    }

    private static OnlineOptions SamplingOf(SettingValues values) => new()
    {
        Generations = values.Get(Generations),
        ResponseLength = values.Get(OnlineSettings.ResponseLength),
        Temperature = values.Get(OnlineSettings.Temperature),
        MissingEosPenalty = values.Get(OnlineSettings.MissingEos),
        RolloutBatchSize = values.Get(BatchSize),
    };

    // What cudalora train reads; the rewards are for people.
    private static JsonObject Row(BestResponse best)
    {
        var row = new JsonObject();
        if (best.Sample.Prompt.Prompt is ChatExample chat)
        {
            row["messages"] = new JsonArray([.. chat.Messages
                .Append(new ChatMessage(ChatMessage.Assistant, best.Sample.Response))
                .Select(message => (JsonNode)new JsonObject
                {
                    ["role"] = message.Role,
                    ["content"] = message.Content,
                })]);
        }
        else
        {
            row["prompt"] = best.Sample.Prompt.Text;
            row["completion"] = best.Sample.Response;
        }
        row["reward"] = best.Reward;
        row["mean_reward"] = Math.Round(best.MeanReward, 6);
        return row;
    }

    private static void Print(Terminal terminal, List<BestResponse> best, int kept, int count, string output)
    {
        if (best.Count == 0) return;
        var wins = PolicyReport.WinRate(
            [.. best.Select(one => one.Reward)], [.. best.Select(one => one.FirstReward)]);
        terminal.Line();
        terminal.Line($"{"mean reward",-28}{"one sample",12}{$"best of {count}",14}");
        terminal.Line($"{"",-28}{Figures.Short(best.Average(one => one.MeanReward)),12}"
            + $"{Figures.Short(best.Average(one => (double)one.Reward)),14}");
        terminal.Line($"win rate over one sample: {Figures.Percent(wins)}, equal rewards counting half; divergence "
            + $"from the policy at most {Figures.Short(Math.Log(count) - ((count - 1.0) / count))} nats");
        terminal.Line($"written to {output}: {Figures.Count(kept)} of {Figures.Count(best.Count)} prompts with their "
            + "best response");
        terminal.Line("try next:");
        terminal.Line("  " + Shell.Line("train", "--data", output, "--output", "out/rft"));
    }
}
