using System.Text.Json;
using CudaLora.Engine;
using CudaLora.Lora;
using CudaLora.Tests.Ops;

namespace CudaLora.Tests.Lora;

/// <summary>VeRA, (IA)³, BitFit, the last layers, LoRA+ and NEFTune.</summary>
public sealed class SmallAdapterTests : IDisposable
{
    private readonly TemporaryFolder folder = new();

    public void Dispose() => folder.Dispose();

    [Fact]
    public void VeraIsTheFormulaOnSharedProjections()
    {
        using var model = TinyModel.Create();
        var before = TinyModel.Logits(model);
        var config = new VeraConfig { R = 3, Targets = new() { Modules = ModuleSelector.Of("k_proj", "down_proj") } };
        using var adapter = VeraAdapter.Create(model, config, new Generator(5));
        Assert.Equal(before, TinyModel.Logits(model));
        Randomize(adapter);
        adapter.Save(folder.Path);
        using var file = SafetensorsFile.Open(folder.File("adapter_model.safetensors"));
        const string Path = "base_model.model.model.layers.1.self_attn.k_proj.";
        // k_proj is (4, 8), down_proj (8, 12): the projections are as wide and tall as the larger of each.
        float[] a = Values("base_model.vera_A", 3, 12), b = Values("base_model.vera_B", 8, 3),
            d = Values(Path + "vera_lambda_d", 3), lambda = Values(Path + "vera_lambda_b", 4);
        using var scope = TensorScope.Begin();
        var linear = model.Linears().First(l => l.Path.Value.EndsWith("layers.1.self_attn.k_proj"));
        var x = GradientCheck.Leaf(1, Shape.Of(5, 8), requiresGrad: false);
        float[] w = linear.Weight.Value.ToArray(), values = x.ToArray(), y = linear.Forward(x).ToArray();
        for (var i = 0; i < y.Length; i++)
        {
            double sum = 0;
            for (var j = 0; j < 8; j++)
            {
                double weight = w[(i % 4 * 8) + j];
                for (var k = 0; k < 3; k++)
                    weight += (double)lambda[i % 4] * b[(i % 4 * 3) + k] * d[k] * a[(k * 12) + j];
                sum += weight * values[(i / 4 * 8) + j];
            }
            Assert.Equal(sum, y[i], 1e-5);
        }
        AssertHeld(model, adapter, "VERA");

        float[] Values(string name, params int[] shape)
        {
            Assert.Equal(shape, file.Entry(name).Shape.Select(n => (int)n));
            return file.Span<float>(file.Entry(name)).ToArray();
        }
    }

    [Fact]
    public void VeraWithoutItsProjectionsIsRefused()
    {
        using var model = TinyModel.Create();
        using (var adapter = VeraAdapter.Create(model, new VeraConfig { R = 3 }, new Generator(5)))
            adapter.Save(folder.Path);
        var path = folder.File(LoraConfig.FileName);
        File.WriteAllText(path, File.ReadAllText(path).Replace(
            "\"save_projection\": true", "\"save_projection\": false", StringComparison.Ordinal));
        Assert.Contains("'save_projection' must be true",
            Assert.Throws<UserErrorException>(() => AdapterFolder.Load(model, folder.Path)).Message);
    }

    [Theory]
    [InlineData(ModelFamily.Llama)]
    [InlineData(ModelFamily.Qwen2)]
    [InlineData(ModelFamily.Gpt2)]
    public void Ia3ScalesOutputsAndTheFeedForwardsInput(ModelFamily family)
    {
        using var model = TinyModel.Create(family);
        var before = TinyModel.Logits(model);
        using var adapter = Ia3Adapter.Create(model, new Ia3Config(), new Generator(5));
        Assert.Equal(before, TinyModel.Logits(model));
        Randomize(adapter);
        adapter.Save(folder.Path);
        using var file = SafetensorsFile.Open(folder.File("adapter_model.safetensors"));
        using var scope = TensorScope.Begin();
        foreach (var linear in model.Linears().Where(l => l.Adapter is not null))
        {
            var entry = file.Entry($"base_model.model.{linear.Path}.ia3_l");
            var forward = linear.Path.Name is "down_proj" or "c_proj";
            Assert.Equal(forward ? [1, linear.InFeatures] : [linear.OutFeatures, 1], entry.Shape.Select(n => (int)n));
            var l = file.Span<float>(entry).ToArray();
            var x = GradientCheck.Leaf(1, Shape.Of(3, linear.InFeatures), requiresGrad: false);
            float[] w = linear.Weight.Value.ToArray(), values = x.ToArray(), y = linear.Forward(x).ToArray();
            var bias = linear.Bias?.Value.ToArray();
            var (n, k) = (linear.OutFeatures, linear.InFeatures);
            for (var i = 0; i < y.Length; i++)
            {
                double sum = bias?[i % n] ?? 0;
                for (var j = 0; j < k; j++)
                    sum += (double)w[(i % n * k) + j] * values[(i / n * k) + j] * (forward ? l[j] : 1);
                Assert.Equal(sum * (forward ? 1 : l[i % n]), y[i], 1e-5);
            }
        }
        AssertHeld(model, adapter, "IA3");
        using var json = JsonDocument.Parse(File.ReadAllText(folder.File(LoraConfig.FileName)));
        Assert.Equal(
            family == ModelFamily.Gpt2 ? "mlp.c_proj" : "down_proj",
            Assert.Single(json.RootElement.GetProperty("feedforward_modules").EnumerateArray()).GetString());
    }

    [Fact]
    public void AFeedForwardOutsideTheTargetsIsRefused()
    {
        using var model = TinyModel.Create();
        var config = new Ia3Config
        {
            Targets = new() { Modules = ModuleSelector.Of("k_proj") },
            Feedforward = ModuleSelector.Of("down_proj"),
        };
        var error = Assert.Throws<UserErrorException>(() => Ia3Adapter.Create(model, config, new Generator(5)));
        Assert.Contains("feedforward_modules", error.Message);
        Assert.Contains("target_modules", error.Message);
    }

    [Theory]
    [InlineData(ModelFamily.Llama)]
    [InlineData(ModelFamily.Qwen3)]
    [InlineData(ModelFamily.Gpt2)]
    public void BitFitTrainsBiasesAndSavesANormalModel(ModelFamily family)
    {
        using var model = TinyModel.Create(family);
        var before = TinyModel.Logits(model);
        var method = PartialFineTuning.BitFit(model);
        Assert.Equal(before, TinyModel.Logits(model));
        var frozen = model.Parameters().Where(p => p.Path.Name != "bias").Select(p => p.Value.ToArray()).ToArray();
        var (start, end) = MethodRuns.Train(method, folder.Path);
        Assert.True(end < start - 0.1, $"{start} to {end}");
        Assert.Equal(frozen, model.Parameters().Where(p => p.Path.Name != "bias").Select(p => p.Value.ToArray()));
        using var loaded = CausalLM.Load(folder.Path);
        Assert.Equal(TinyModel.Logits(model), TinyModel.Logits(loaded));
    }

    [Fact]
    public void AModelWithoutAPlaceForBiasesIsRefused()
    {
        using var model = TinyModel.Create(ModelFamily.Mistral);
        Assert.Contains("bitfit trains biases",
            Assert.Throws<UserErrorException>(() => PartialFineTuning.BitFit(model)).Message);
    }

    [Fact]
    public void TheLastLayersTrainAndNothingElse()
    {
        using var model = TinyModel.Create();
        var method = PartialFineTuning.LastLayers(model, 1);
        var before = model.Parameters().ToDictionary(p => p.Path.Value, p => p.Value.ToArray());
        var (start, end) = MethodRuns.Train(method, folder.Path);
        Assert.True(end < start - 0.1, $"{start} to {end}");
        Assert.All(model.Parameters(), p => Assert.Equal(
            p.Path.Value.StartsWith("model.layers.1.", StringComparison.Ordinal),
            !p.Value.ToArray().SequenceEqual(before[p.Path.Value])));
        Assert.Contains("1 to 2",
            Assert.Throws<UserErrorException>(() => PartialFineTuning.LastLayers(model, 3)).Message);
    }

    // The test vector of PEFT's create_loraplus_optimizer.
    [Fact]
    public void LoraPlusGroupsAsPublished()
    {
        using var model = TinyModel.Create();
        var config = new LoraConfig
        {
            TargetModules = ModuleSelector.Of("q_proj", "embed_tokens"),
            ModulesToSave = ["lm_head"],
            UseDora = false,
            BiasOnB = true,
        };
        using var adapter = LoraAdapter.Create(model, config, new Generator(5));
        var arguments = new TrainingArguments { OutputDir = "unused", LearningRate = 0.5, WeightDecay = 0.1 };
        var groups = new LoraPlusFineTuning(adapter, 16, 0.25).Groups(arguments);
        Assert.Equal(
            [
                "0.5 0.1 lm_head.weight lora_A.weight",
                "0.25 0.1 lora_embedding_A lora_embedding_B",
                "8 0.1 lora_B.weight",
                "8 0 lora_B.bias",
            ],
            groups.Select(g => FormattableString.Invariant($"{g.LearningRate} {g.WeightDecay} ") + string.Join(
                ' ', g.Parameters.Select(p => p.Path.Value.Split('.')).Select(p => p[^1] is "weight" or "bias"
                    ? $"{p[^2]}.{p[^1]}" : p[^1]).Distinct().Order(StringComparer.Ordinal))));
        using var dora = LoraAdapter.Create(model, new LoraConfig { UseDora = true }, new Generator(5));
        var magnitude = new LoraPlusFineTuning(dora).Groups(arguments)
            .First(g => g.Parameters.Any(p => p.Path.Name == "lora_magnitude_vector"));
        Assert.Equal((8, 0.1), (magnitude.LearningRate, magnitude.WeightDecay));
    }

    // Uniform in ±alpha / √(T C): its largest value is near that and its variance a third of the square.
    [Fact]
    public void NeftuneIsUniformNoiseOfTheRightSizeInTrainingOnly()
    {
        using var model = TinyModel.Create();
        model.Random = new Generator(7);
        var before = TinyModel.Logits(model);
        model.NeftuneNoiseAlpha = 5;
        Assert.Equal(before, TinyModel.Logits(model));
        model.Training = true;
        Assert.NotEqual(before, TinyModel.Logits(model));
        var (bound, seen) = (5 / Math.Sqrt(8 * 8), new List<double>());
        using var scope = TensorScope.Begin();
        for (var i = 0; i < 40; i++)
            seen.AddRange(model.Noisy(Tensor.Zeros(Shape.Of(1, 8, 8))).ToArray().Select(v => (double)v));
        Assert.InRange(seen.Max(Math.Abs), 0.98 * bound, bound);
        // 2,560 draws: the variance is within 5 percent.
        Assert.InRange(seen.Average(v => v * v), 0.95 * bound * bound / 3, 1.05 * bound * bound / 3);
    }

    private void AssertHeld(CausalLM model, ModelAdapter adapter, string type)
    {
        using var json = JsonDocument.Parse(File.ReadAllText(folder.File(LoraConfig.FileName)));
        Assert.Equal(type, json.RootElement.GetProperty("peft_type").GetString());
        var logits = TinyModel.Logits(model);
        adapter.Deactivate();
        var plain = TinyModel.Logits(model);
        using var loaded = AdapterFolder.Load(model, folder.Path);
        Assert.Empty(loaded.IgnoredTensors);
        Assert.Equal(logits, TinyModel.Logits(model));
        loaded.Merge();
        var merged = TinyModel.Logits(model);
        for (var i = 0; i < logits.Length; i++)
            Assert.Equal(logits[i], merged[i], 5e-5);
        loaded.Unmerge();
        loaded.Deactivate();
        Assert.Equal(plain, TinyModel.Logits(model));
    }

    private static void Randomize(ModelAdapter adapter)
    {
        var random = new Generator(9);
        foreach (var parameter in adapter.TrainableParameters())
            RandomParameters.Fill(parameter.Value, Initializer.Normal(0.7f), random);
    }
}
