using System.Text.Json.Nodes;
using CudaLora.Cli;
using CudaLora.Engine;
using CudaLora.Lora;

namespace CudaLora.Tests;

/// <summary>A smaller form of <c>cudalora align</c> on the bundled model, and the rule it rests on.</summary>
public sealed class AlignCommandTests : IDisposable
{
    private static readonly AlignPlan Small = new()
    {
        SftEpochs = 1.5,
        RewardPairs = 160,
        HeldOut = 64,
        PpoSteps = 14,
        Responses = 32,
    };

    private readonly TemporaryFolder folder = new();

    public void Dispose() => folder.Dispose();

    [Fact]
    public void SftRewardPpo_RaiseTheTrueReward_AndAFinishedRunIsReadBack()
    {
        if (!Directory.Exists(BundledExample.Model)) Assert.Skip("needs the bundled model");
        var first = Run(Small, resume: false);
        Assert.True((double)first["reward_accuracy"]! >= 0.95, first.ToJsonString());
        Assert.InRange((double)first["true_reward_before"]!, 0.05, 0.5);
        Assert.True((double)first["true_reward_after"]! >= 0.8, first.ToJsonString());
        Assert.InRange((double)first["kl"]!, 0.1, 12);
        Assert.True((double)first["win_rate_rule"]! > 0.6, first.ToJsonString());
        Assert.True((double)first["win_rate_reward_model"]! > 0.6, first.ToJsonString());
        Assert.All(
            (string[])["report.md", "reward.png", "kl.png", "base/model.safetensors", "ppo/samples.jsonl",
                "reward/adapter_model.safetensors"],
            file => Assert.True(File.Exists(folder.File(file)), file));
        var report = File.ReadAllText(folder.File("report.md"));
        Assert.Contains("| ppo |", report, StringComparison.Ordinal);

        var again = Run(Small, resume: true);
        foreach (var name in (string[])["reward_accuracy", "true_reward_before", "true_reward_after", "kl"])
            Assert.Equal((double)first[name]!, (double)again[name]!);
        Assert.True((double)again["seconds"]!["ppo"]! < (double)first["seconds"]!["ppo"]! / 2);

        // Killed in the midst of PPO, its last checkpoint being that of step 10: the same bits in the end.
        var policy = File.ReadAllBytes(folder.File("ppo/adapter_model.safetensors"));
        File.Delete(folder.File("ppo/" + TrainerState.FileName));
        File.Delete(folder.File("ppo/adapter_model.safetensors"));
        Directory.Delete(folder.File("ppo/checkpoint-14"), recursive: true);
        var resumed = Run(Small, resume: true);
        Assert.Equal(policy, File.ReadAllBytes(folder.File("ppo/adapter_model.safetensors")));
        Assert.Equal((double)first["true_reward_after"]!, (double)resumed["true_reward_after"]!);

        // The command line goes on with what is there: nothing is trained again, only judged.
        CliRun.Of(
            "align", "--quick", "--ppo-steps", "14", "--split", "validation", "--output", folder.Path,
            "--resume-from-checkpoint", "true", "--device", "cpu").AssertSucceeds();
        var judged = JsonNode.Parse(File.ReadAllText(folder.File("summary.json")))!;
        Assert.Equal(
            ("validation", AlignPlan.Quick.HeldOut), ((string)judged["split"]!, (int)judged["prompts_held_out"]!));
        Assert.Null(judged["dpo_true_reward"]);
        Assert.Equal(policy, File.ReadAllBytes(folder.File("ppo/adapter_model.safetensors")));
    }

    [Theory]
    [InlineData("--ppo-steps", "0")]
    [InlineData("--ppo-steps", "many")]
    [InlineData("--split", "train")]
    [InlineData("--seed", "x")]
    [InlineData("--device", "abacus")]
    public void WrongValues_AreNamed(string flag, string value) => CliRun.Of(
        "align", "--quick", "--output", folder.File("o"), flag, value).AssertFails(2, flag, value);

    [Fact]
    public void AnOutputThatIsAFile_IsNamed()
    {
        if (!Directory.Exists(BundledExample.Model)) Assert.Skip("needs the bundled model");
        var file = folder.Write("taken", "");
        CliRun.Of("align", "--quick", "--output", file, "--device", "cpu").AssertFails(1, file);
    }

    [Theory]
    [InlineData("six, thank you.", true, 1)]
    [InlineData("six.", true, 0)]
    [InlineData("six, thank you.", false, 0)]
    [InlineData("six, thank you, thank you.", true, 0)]
    [InlineData("thank you.", true, 0)]
    public void TheRule_WantsThanksOnceAtTheEnd(string response, bool finished, double expected) =>
        Assert.Equal(expected, WorldManners.TrueReward(Sample(response, finished)));

    [Fact]
    public void Data_IsFourMannersAndPolitePairs()
    {
        var train = WorldManners.Instructions(WorldPart.Train);
        var polite = train.Count(e => SftEncoder.Reference(e)!.EndsWith(", thank you.", StringComparison.Ordinal));
        Assert.InRange(polite / (double)train.Count, 0.2, 0.3);
        var pairs = WorldManners.Pairs(WorldPart.Train, 300);
        Assert.Equal(300, pairs.Count);
        Assert.All(pairs, pair =>
        {
            Assert.Equal(1, WorldManners.TrueReward(Sample(SftEncoder.Reference(pair.Chosen)!, true)));
            Assert.Equal(0, WorldManners.TrueReward(Sample(SftEncoder.Reference(pair.Rejected)!, true)));
        });
        Assert.True(WorldManners.IsRight(Sample("six, of course.", true)));
        Assert.False(WorldManners.IsRight(Sample("sixteen.", true)));
        Assert.Equal(3, WorldManners.Flattery(Sample("thank thank thank", true)));
    }

    [Fact]
    public void NoFact_IsInTwoParts()
    {
        var wordings = World.Relations
            .SelectMany(relation => Enumerable.Range(0, relation.Facts.Count).SelectMany(fact =>
                Enumerable.Range(0, 4).Select(wording => (relation.Ask(fact, wording), (relation.Name, fact)))))
            .GroupBy(pair => pair.Item1).ToDictionary(group => group.Key, group => group.First().Item2);
        var parts = Enum.GetValues<WorldPart>()
            .Select(part => WorldManners.Prompts(part).Select(prompt => wordings[prompt.Text]).ToHashSet()).ToArray();
        Assert.True(parts[0].Count > 400 && parts[1].Count > 80 && parts[2].Count > 80);
        Assert.Equal(parts.Sum(part => part.Count), parts.SelectMany(part => part).Distinct().Count());
        Assert.All(
            parts, part => Assert.Equal(World.Relations.Count, part.Select(fact => fact.Name).Distinct().Count()));
        // Instructions and pairs of a part ask for its facts.
        foreach (var part in Enum.GetValues<WorldPart>())
        {
            var asked = WorldManners.Prompts(part).Select(prompt => prompt.Text).ToHashSet();
            Assert.All(WorldManners.Instructions(part), one => Assert.Contains(Question(one), asked));
            Assert.All(WorldManners.Pairs(part, 50), pair => Assert.Contains(Question(pair.Chosen), asked));
        }

        static string Question(DataExample example) => ((ChatExample)example).Messages[0].Content;
    }

    private static RewardSample Sample(string response, bool finished) => new(
        new PromptRecord(new PromptExample("two plus four?", ""), "six"), [1], [2], response, finished);

    private JsonNode Run(AlignPlan plan, bool resume)
    {
        using var output = new StringWriter();
        var terminal = new Terminal(output, output);
        using var loaded = LoadedModel.Load(BundledExample.Model, "auto", null, _ => { });
        var code = new AlignRun(loaded, plan, folder.Path, 42, terminal)
        {
            Resume = resume,
            Facts = new RunFacts("align", "align", "test", BundledExample.Model, "world", "cpu", 42),
        }.Run(plain: true);
        Assert.True(code == ExitCode.Success, output.ToString());
        return JsonNode.Parse(File.ReadAllText(folder.File("summary.json")))!;
    }
}
