using System.Text.Json.Nodes;
using CudaLora.Engine;
using CudaLora.Lora;

namespace CudaLora.Tests.Lora;

public class RewardModelTests
{
    private static readonly LoraConfig Config = new() { R = 4, TargetModules = ModuleSelector.AllLinear };

    [Fact]
    public void LossAndGradients_EqualPyTorchs()
    {
        using var golden = new AlignmentGolden();
        using var scope = TensorScope.Begin();
        using var inputs = new InputSet(golden.Model.Device);
        var head = golden.Model.AddScore();
        golden.Values("score.weight").CopyTo(head.Weight.Value.Span<float>());
        head.Weight.Trainable = true;
        float[] margins = [0.5f, 0, 1];
        var rows = golden.Rows((i, ids, labels) => new ResponseExample(ids, labels) { Margin = margins[i / 2] });

        var objective = new RewardLoss(0.01);
        var loss = objective.Loss(golden.Model, AlignmentGolden.Batch(rows), 1f / 3, inputs);
        loss.Backward();

        Assert.Equal(golden.Value("reward.loss"), loss.Item(), 2e-5);
        golden.AssertGradients("reward");
        AlignmentGolden.AssertNear(
            golden.Values("reward.grad.score"), head.Weight.Value.Grad!.ToArray(), 5e-5, "score");
        var values = new float[6];
        new RewardModel(golden.Model, golden.Adapter).Score(
            [.. rows.Select(r => (IReadOnlyList<int>)r.Ids)], values);
        AlignmentGolden.AssertNear(golden.Values("reward.values"), values, 1e-4, "values");
        var metrics = objective.TakeMetrics(training: false);
        Assert.Equal(values.Average(), metrics["mean_reward"], 1e-4);
        Assert.Equal(RewardReport.Of(values).Accuracy, metrics["accuracy"], 1e-6);
        Assert.Equal(RewardReport.Of(values).Margin, metrics["margin"], 1e-4);
    }

    [Fact]
    public void Training_LearnsARule_AndTheAdapterIsPefts()
    {
        using var folder = new TemporaryFolder();
        using var model = TinyModel.Create();
        var reward = RewardModel.Create(model, Config, new Generator(3));
        // A response is better when it ends with 7; ids are below 20.
        var (train, held) = (Pairs(96, 1), Pairs(64, 2));
        new Trainer(
            Arguments(folder.Path), new LoraFineTuning(reward.Adapter!), new RewardLoss(),
            new Batcher(train.Examples, new BatcherOptions { BatchSize = 16, GroupSize = 2 }))
            .Run(TestContext.Current.CancellationToken);

        var report = RewardReport.Of(reward, held);
        Assert.True(report.Accuracy >= 0.95, $"accuracy {report.Accuracy}");
        var config = JsonNode.Parse(File.ReadAllText(folder.File("adapter_config.json")))!;
        Assert.Equal("SEQ_CLS", (string?)config["task_type"]);
        Assert.Equal("score", (string?)config["modules_to_save"]![0]);
        using (var file = SafetensorsFile.Open(folder.File("adapter_model.safetensors")))
            Assert.Equal([1, 8], file.Entry("base_model.model.score.weight").Shape);

        using var other = TinyModel.Create();
        var before = TinyModel.Logits(other);
        var again = RewardModel.Load(other, folder.Path);
        again.Adapter!.Deactivate();
        Assert.Equal(report, RewardReport.Of(again, held));
        Assert.Null(other.ActiveAdapter);
        Assert.Equal(before, TinyModel.Logits(other));
    }

    [Fact]
    public void FullModels_AreClassifierFoldersAndComeBack()
    {
        using var folder = new TemporaryFolder();
        var held = Pairs(8, 2);
        RewardReport report;
        using (var model = TinyModel.Create(tied: true))
        {
            model.AddScore(random: new Generator(5));
            new Trainer(
                Arguments(folder.Path) with { MaxSteps = 5 }, new FullFineTuning(model), new RewardLoss(),
                new Batcher(Pairs(16, 1).Examples, new BatcherOptions { GroupSize = 2 }))
                .Run(TestContext.Current.CancellationToken);
            report = RewardReport.Of(new RewardModel(model), held);
        }
        var config = JsonNode.Parse(File.ReadAllText(folder.File("config.json")))!;
        Assert.Equal("LlamaForSequenceClassification", (string?)config["architectures"]![0]);
        Assert.Single(config["id2label"]!.AsObject());
        using var loaded = CausalLM.Load(folder.Path);
        Assert.NotNull(loaded.Score);
        Assert.Equal(report, RewardReport.Of(new RewardModel(loaded), held));
    }

    [Fact]
    public void AllLinear_LeavesTheHeadToItself_AndPeftsClassifierNameIsAccepted()
    {
        using var folder = new TemporaryFolder();
        using var model = TinyModel.Create();
        var reward = RewardModel.Create(
            model, Config with { ModulesToSave = ["classifier"] }, new Generator(3));
        Assert.DoesNotContain(reward.Adapter!.Layers, layer => layer.Linear == model.Score);
        reward.Adapter.Save(folder.Path);
        using var other = TinyModel.Create();
        Assert.NotNull(RewardModel.Load(other, folder.Path).Adapter);
    }

    [Fact]
    public void OrdinaryAdapters_AreRefused()
    {
        using var folder = new TemporaryFolder();
        using var model = TinyModel.Create();
        using (var adapter = LoraAdapter.Create(model, Config, new Generator(1)))
            adapter.Save(folder.Path);
        Assert.Contains(
            "must have 'score' in modules_to_save",
            Assert.Throws<UserErrorException>(() => RewardModel.Load(model, folder.Path)).Message,
            StringComparison.Ordinal);
    }

    [Fact]
    public void Report_CountsTiesHalf_AndMeasuresCalibration()
    {
        // Differences 2, -1 and 0: stated probabilities .8808, .7311 and .5, of which the first alone is right.
        var report = RewardReport.Of([2f, 0f, 0f, 1f, 3f, 3f]);
        Assert.Equal(0.5, report.Accuracy, 1e-12);
        Assert.Equal(1.0 / 3, report.Margin, 1e-12);
        Assert.Equal((0.126928 + 1.313262 + 0.693147) / 3, report.Loss, 1e-6);
        Assert.Equal(((1 - 0.880797) + 0.731059 + 0) / 3, report.CalibrationError, 1e-6);
        Assert.Equal((0, 1.5, 3), (report.MinReward, report.MeanReward, report.MaxReward));
    }

    private static TrainingArguments Arguments(string folder) => new()
    {
        OutputDir = folder,
        MaxSteps = 150,
        LearningRate = 2e-2,
        SaveStrategy = IntervalStrategy.No,
    };

    private static PreferenceData Pairs(int count, int seed)
    {
        var random = new Random(seed);
        var examples = new List<ResponseExample>();
        for (var i = 0; i < count; i++)
        {
            int[] start = [random.Next(20), random.Next(20), random.Next(20)];
            var other = (7 + 1 + random.Next(19)) % 20;
            examples.Add(new ResponseExample([.. start, 7], [.. start, 7]));
            examples.Add(new ResponseExample([.. start, other], [.. start, other]));
        }
        return new PreferenceData(examples, 0);
    }
}
