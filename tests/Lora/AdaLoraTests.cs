using System.Text.Json;
using CudaLora.Engine;
using CudaLora.Lora;

namespace CudaLora.Tests.Lora;

/// <summary>AdaLoRA's formulas, schedule, scores and files.</summary>
public sealed class AdaLoraTests : IDisposable
{
    private readonly TemporaryFolder folder = new();

    public void Dispose() => folder.Dispose();

    private static AdaLoraConfig Config => new()
    {
        Lora = new LoraConfig { LoraAlpha = 6, TargetModules = ModuleSelector.Of("q_proj", "down_proj") },
        InitR = 3,
        TargetR = 2,
        TInit = 1,
        TFinal = 2,
        TotalStep = 8,
    };

    // PEFT's RankAllocator.budget_schedule for 6 layers, init_r 12, target_r 8, 100 steps, tinit 10, tfinal 20.
    [Theory]
    [InlineData(10, 72, false)]
    [InlineData(11, 70, false)]
    [InlineData(15, 67, true)]
    [InlineData(20, 63, true)]
    [InlineData(30, 56, true)]
    [InlineData(40, 52, true)]
    [InlineData(50, 49, true)]
    [InlineData(60, 48, true)]
    [InlineData(79, 48, false)]
    [InlineData(81, 48, true)]
    public void TheBudgetFallsAsPefts(int step, int ranks, bool allocates) =>
        Assert.Equal((ranks, allocates), new RankBudget(72, 48, 10, 20, 100, 5).At(step));

    // PEFT's EMAs with 0.85: the new mean goes into the deviation.
    [Fact]
    public void ImportanceIsSensitivityTimesUncertainty()
    {
        using var value = Tensor.Owned(Shape.Of(1));
        value.CopyFrom([1f]);
        var parameter = new Parameter(new ParameterPath("p"), value) { Trainable = true };
        using var importance = new Importance(parameter);
        double[] expected = [1.9125e-4, 1.47166875e-3, 1.8769310859e-3];
        float[] gradients = [0.1f, -0.2f, 0.1f];
        for (var i = 0; i < 3; i++)
        {
            using var scope = TensorScope.Begin();
            value.ZeroGrad();
            value.Mul(Tensor.From([gradients[i]], Shape.Of(1))).Backward(Tensor.From([1f], Shape.Of(1)));
            importance.Update(0.85, 0.85, 1);
            // F32 moments.
            Assert.Equal(expected[i], importance.Scores()[0], 1e-9);
        }
    }

    [Fact]
    public void TheLayerIsTheFormula()
    {
        using var scope = TensorScope.Begin();
        using var model = TinyModel.Create();
        var before = TinyModel.Logits(model);
        using var adapter = AdaLoraAdapter.Create(model, Config, new Generator(5));
        Assert.Equal(before, TinyModel.Logits(model));
        Randomize(adapter);
        var layer = adapter.Layers[0];
        var q = model.Linears().First(l => l.Path.Value.EndsWith("layers.0.self_attn.q_proj"));
        var x = Ops.GradientCheck.Leaf(1, Shape.Of(5, 8), requiresGrad: false);
        float[] a = layer.A.Value.ToArray(), e = layer.E.Value.ToArray(), b = layer.B.Value.ToArray(),
            w = q.Weight.Value.ToArray(), values = x.ToArray(), y = q.Forward(x).ToArray();
        for (var i = 0; i < y.Length; i++)
        {
            double sum = 0;
            for (var j = 0; j < 8; j++)
            {
                double weight = w[(i % 8 * 8) + j];
                for (var k = 0; k < 3; k++)
                    weight += 6 / (3 + 1e-5) * b[(i % 8 * 3) + k] * e[k] * a[(k * 8) + j];
                sum += weight * values[(i / 8 * 8) + j];
            }
            Assert.Equal(sum, y[i], 1e-5);
        }
    }

    // The score of a triplet: that of E, plus the means over the vectors of A and B; in double precision.
    [Fact]
    public void ATripletsScoreIsThatOfItsThreeParts()
    {
        using var model = TinyModel.Create();
        using var adapter = AdaLoraAdapter.Create(model, Config with { TotalStep = 100, TInit = 50 }, new Generator(5));
        Randomize(adapter);
        var method = new AdaLoraFineTuning(adapter);
        var layer = adapter.Layers[2];
        const double Clip = 0.5;
        var moments = layer.Parameters().ToDictionary(p => p, p => new (double Mean, double Deviation)[p.Value.Count]);
        for (var step = 1; step <= 3; step++)
        {
            foreach (var parameter in layer.Parameters())
            {
                using var scope = TensorScope.Begin();
                var gradient = Ops.GradientCheck.Values(step * 7, parameter.Value.Shape);
                parameter.Value.ZeroGrad();
                parameter.Value.Mul(Tensor.From(gradient, parameter.Value.Shape)).Sum().Backward();
                var values = parameter.Value.ToArray();
                for (var i = 0; i < values.Length; i++)
                {
                    var sensitivity = Math.Abs((double)values[i] * gradient[i] * Clip);
                    var (mean, deviation) = moments[parameter][i];
                    mean = (0.85 * mean) + (0.15 * sensitivity);
                    moments[parameter][i] = (mean, (0.85 * deviation) + (0.15 * Math.Abs(sensitivity - mean)));
                }
            }
            ((IFineTuning)method).Updated(new MethodStep(step, 100, Clip));
        }
        var found = method.TripletScores()[2];
        var (width, height) = (layer.A.Value.Shape[1], layer.B.Value.Shape[0]);
        for (var k = 0; k < 3; k++)
        {
            var expected = Score(layer.E, k)
                + Enumerable.Range(0, width).Average(j => Score(layer.A, (k * width) + j))
                + Enumerable.Range(0, height).Average(i => Score(layer.B, (i * 3) + k));
            Assert.Equal(expected, found[k], 1e-6 * (1 + expected));
        }

        double Score(Parameter parameter, int i) => moments[parameter][i].Mean * moments[parameter][i].Deviation;
    }

    // The penalty of PEFT: the mean over P and Q of the Frobenius norm, not squared; and its gradient by differences.
    [Fact]
    public void ThePenaltyIsTheMeanNormAndItsGradient()
    {
        using var model = TinyModel.Create();
        using var adapter = AdaLoraAdapter.Create(model, Config, new Generator(5));
        Randomize(adapter);
        IFineTuning method = new AdaLoraFineTuning(adapter);
        foreach (var parameter in adapter.TrainableParameters())
        {
            // A gradient of zeros to add to.
            using var scope = TensorScope.Begin();
            parameter.Value.Scale(0).Sum().Backward();
        }
        Assert.Equal(Penalty(adapter), method.AddPenalty(), 1e-5);
        foreach (var value in new[] { adapter.Layers[1].A.Value, adapter.Layers[1].B.Value })
        {
            var (values, gradient) = (value.ToArray(), value.Grad!.ToArray());
            for (var i = 0; i < values.Length; i++)
            {
                var at = values[i];
                double With(float v)
                {
                    values[i] = v;
                    value.CopyFrom(values);
                    return Penalty(adapter);
                }
                var numeric = (With(at + 1e-3f) - With(at - 1e-3f)) / ((double)(at + 1e-3f) - (at - 1e-3f));
                With(at);
                Assert.Equal(numeric, gradient[i], 1e-4);
            }
        }
        Assert.All(adapter.Layers[1].E.Value.Grad!.ToArray(), g => Assert.Equal(0, g));
    }

    [Fact]
    public void TrainingEndsAtTheTargetAndTheFileHoldsTheKeptRanks()
    {
        using var model = TinyModel.Create();
        using var adapter = Trained(model, Config, 8);
        Assert.Equal(2 * 4, adapter.Ranks.Sum(r => r.Rank));
        foreach (var layer in adapter.Layers)
        {
            var e = layer.E.Value.ToArray();
            for (var k = 0; k < 3; k++)
                Assert.Equal(layer.Kept[k], e[k] != 0);
        }
        var logits = TinyModel.Logits(model);
        adapter.Save(folder.Path);
        using (var file = SafetensorsFile.Open(folder.File("adapter_model.safetensors")))
        {
            foreach (var (path, rank) in adapter.Ranks)
            {
                Assert.Equal(rank, file.Entry($"base_model.model.{path}.lora_A").Shape[0]);
                Assert.Equal(rank, file.Entry($"base_model.model.{path}.lora_B").Shape[1]);
                Assert.Equal([rank, 1], file.Entry($"base_model.model.{path}.lora_E").Shape);
            }
        }
        using var json = JsonDocument.Parse(File.ReadAllText(folder.File(LoraConfig.FileName)));
        var root = json.RootElement;
        Assert.Equal(("ADALORA", 3, 2, 8, 1, 2), (root.GetProperty("peft_type").GetString(),
            root.GetProperty("init_r").GetInt32(), root.GetProperty("target_r").GetInt32(),
            root.GetProperty("total_step").GetInt32(), root.GetProperty("tinit").GetInt32(),
            root.GetProperty("tfinal").GetInt32()));
        Assert.Equal(
            adapter.Layers[0].Kept,
            root.GetProperty("rank_pattern").GetProperty("model.layers.0.self_attn.q_proj.lora_E").EnumerateArray()
                .Select(kept => kept.GetBoolean()));
        adapter.Deactivate();
        using var loaded = AdapterFolder.Load(model, folder.Path);
        Near(logits, TinyModel.Logits(model));
        Assert.Equal(adapter.Ranks, ((AdaLoraAdapter)loaded).Ranks);
        loaded.Merge();
        Near(logits, TinyModel.Logits(model));
        loaded.Unmerge();
    }

    [Fact]
    public void AResumedRunAllocatesTheSameRanks()
    {
        using var parts = new TemporaryFolder();
        using var model = TinyModel.Create();
        using var whole = Trained(model, Config, 8);
        var expected = whole.TrainableParameters().SelectMany(p => p.Value.ToArray()).ToArray();
        whole.Deactivate();
        using (Trained(model, Config, 8, stopAfter: 4, output: parts.Path))
        {
        }
        using var resumed = Trained(model, Config, 8, output: parts.Path, resume: true);
        Assert.Equal(whole.Ranks, resumed.Ranks);
        Assert.Equal(expected, resumed.TrainableParameters().SelectMany(p => p.Value.ToArray()));
    }

    [Fact]
    public void EqualRanksTakeNothingAway()
    {
        using var model = TinyModel.Create();
        using var adapter = Trained(model, Config with { TargetR = 3 }, 8);
        Assert.All(adapter.Ranks, r => Assert.Equal(3, r.Rank));
    }

    [Fact]
    public void ImpossibleCombinationsNameBothSettings()
    {
        Refused(Config with { TargetR = 4 }, "target_r", "init_r");
        Refused(Config with { TInit = 6 }, "tinit", "total_step", "tfinal");
        Refused(Config with { TotalStep = 0 }, "total_step");
        Refused(Config with { Lora = Config.Lora with { UseDora = true } }, "use_dora", "init_r");
        Refused(Config with { Lora = Config.Lora with { InitLoraWeights = LoraInit.Pissa } }, "pissa", "init_r");

        static void Refused(AdaLoraConfig config, params string[] names)
        {
            var error = Assert.Throws<UserErrorException>(config.Validate);
            Assert.All(names, name => Assert.Contains(name, error.Message));
        }
    }

    private AdaLoraAdapter Trained(
        CausalLM model, AdaLoraConfig config, int steps, int stopAfter = int.MaxValue, string? output = null,
        bool resume = false)
    {
        var random = new Generator(42);
        var adapter = AdaLoraAdapter.Create(model, config, random);
        var arguments = new TrainingArguments
        {
            OutputDir = output ?? folder.File("run"),
            MaxSteps = steps,
            LearningRate = 1e-2,
            PerDeviceTrainBatchSize = 2,
            SaveStrategy = IntervalStrategy.No,
            ResumeFromCheckpoint = resume ? "true" : null,
        };
        using var stop = new CancellationTokenSource();
        var trainer = new Trainer(
            arguments, new AdaLoraFineTuning(adapter), new Sft(), MethodRuns.Batches(), null, random,
            new MethodRuns.StopAt(stopAfter, stop));
        trainer.Run(stop.Token);
        return adapter;
    }

    private static void Randomize(AdaLoraAdapter adapter)
    {
        var random = new Generator(9);
        foreach (var parameter in adapter.TrainableParameters())
            RandomParameters.Fill(parameter.Value, Initializer.Normal(0.4f), random);
    }

    private static double Penalty(AdaLoraAdapter adapter)
    {
        double sum = 0;
        foreach (var layer in adapter.Layers)
        {
            sum += Norm(layer.A.Value.ToArray(), layer.A.Value.Shape[1], true);
            sum += Norm(layer.B.Value.ToArray(), layer.B.Value.Shape[0], false);
        }
        return 0.5 * sum / (2 * adapter.Layers.Count);

        static double Norm(float[] p, int length, bool rows)
        {
            double square = 0;
            for (var i = 0; i < 3; i++)
            {
                for (var j = 0; j < 3; j++)
                {
                    double product = i == j ? -1 : 0;
                    for (var t = 0; t < length; t++)
                        product += (double)p[At(i, t)] * p[At(j, t)];
                    square += product * product;
                }
            }
            return Math.Sqrt(square);

            int At(int row, int t) => rows ? (row * length) + t : (t * 3) + row;
        }
    }

    private static void Near(float[] expected, float[] actual)
    {
        for (var i = 0; i < expected.Length; i++)
            Assert.Equal(expected[i], actual[i], 2e-5);
    }
}
