using System.Text.Json;
using CudaLora.Engine;
using CudaLora.Lora;
using CudaLora.Tests.Ops;

namespace CudaLora.Tests.Lora;

/// <summary>DoRA, lora_bias, LoRA on embeddings, LoRA-FA: against the formulas in double precision.</summary>
public sealed class LoraVariantTests : IDisposable
{
    private readonly TemporaryFolder folder = new();

    public void Dispose() => folder.Dispose();

    // Sums of a dozen products of order 1 in F32.
    private const double Tolerance = 1e-5;

    [Theory]
    [InlineData(false, false)]
    [InlineData(true, false)]
    [InlineData(false, true)]
    public void DoraIsTheFormula(bool rsLora, bool bias)
    {
        using var scope = TensorScope.Begin();
        using var layer = new Linear(6, 4, new Generator(3), bias);
        using var lora = Random(layer, new LoraConfig { R = 2, LoraAlpha = 3, UseDora = true, UseRsLora = rsLora });
        var x = GradientCheck.Leaf(1, Shape.Of(5, 6), requiresGrad: false);
        var expected = Dora(lora, x.ToArray(), 5);
        var actual = layer.Forward(x).ToArray();
        for (var i = 0; i < actual.Length; i++)
            Assert.Equal(expected[i], actual[i], Tolerance);
    }

    [Fact]
    public void DoraBeginsAsTheBaseAndItsMagnitudesAreRowNorms()
    {
        using var scope = TensorScope.Begin();
        using var layer = new Linear(6, 4, new Generator(3));
        var x = GradientCheck.Leaf(1, Shape.Of(5, 6), requiresGrad: false);
        var before = layer.Forward(x).ToArray();
        using var lora = LoraLinear.From(layer, new LoraConfig { R = 2, UseDora = true }, new Generator(5));
        var after = layer.Forward(x).ToArray();
        for (var i = 0; i < after.Length; i++)
            Assert.Equal(before[i], after[i], Tolerance);
        var weight = layer.Weight.Value.ToArray();
        for (var row = 0; row < 4; row++)
        {
            var norm = Math.Sqrt(weight.AsSpan(row * 6, 6).ToArray().Sum(w => (double)w * w));
            Assert.Equal(norm, lora.Dora!.Vector.Value.ToArray()[row], Tolerance);
        }
    }

    // The norms are constants in backward, so a plain difference would see more than the gradient: the differences are
    // taken of the formula with the norms of the start.
    [Fact]
    public void DorasGradientsHoldTheNormsFixed()
    {
        using var scope = TensorScope.Begin();
        using var layer = new Linear(6, 4, new Generator(3));
        using var lora = Random(layer, new LoraConfig { R = 2, LoraAlpha = 3, UseDora = true });
        var x = GradientCheck.Leaf(1, Shape.Of(5, 6));
        var seed = GradientCheck.Values(8, Shape.Of(5, 4));
        layer.Forward(x).Backward(Tensor.From(seed, Shape.Of(5, 4)));
        var norms = Norms(lora);
        foreach (var value in new[] { lora.A.Value, lora.B.Value, lora.Dora!.Vector.Value, x })
        {
            var gradient = value.Grad!.ToArray();
            var values = value.ToArray();
            for (var i = 0; i < values.Length; i++)
            {
                var at = values[i];
                double Loss(float v)
                {
                    values[i] = v;
                    value.CopyFrom(values);
                    return Dora(lora, x.ToArray(), 5, norms).Zip(seed, (y, s) => y * s).Sum();
                }
                float up = at + 1e-3f, down = at - 1e-3f;
                var numeric = (Loss(up) - Loss(down)) / ((double)up - down);
                Loss(at);
                // The oracle is in double: what is left is F32 rounding of the gradient itself.
                Assert.Equal(numeric, gradient[i], 1e-4);
            }
        }
    }

    [Fact]
    public void DoraIsPyTorchs()
    {
        using var golden = new MethodGolden("dora");
        using var scope = TensorScope.Begin();
        using var layer = new Linear(6, 4, new Generator(3));
        layer.Weight.Value.CopyFrom(golden.Read("w"));
        layer.Bias!.Value.CopyFrom(golden.Read("bias"));
        // alpha / r = 1.5.
        var config = new LoraConfig { R = 2, LoraAlpha = 3, UseDora = true };
        using var lora = LoraLinear.From(layer, config, new Generator(5));
        lora.A.Value.CopyFrom(golden.Read("a"));
        lora.B.Value.CopyFrom(golden.Read("b"));
        lora.Dora!.Vector.Value.CopyFrom(golden.Read("m"));
        var x = golden.Read("x");
        x.RequiresGrad = true;
        var y = layer.Forward(x);
        golden.Close("y", y);
        y.Backward(golden.Read("dy"));
        golden.Close("dx", x.Grad!);
        golden.Close("da", lora.A.Value.Grad!);
        golden.Close("db", lora.B.Value.Grad!);
        golden.Close("dm", lora.Dora.Vector.Value.Grad!);
    }

    [Fact]
    public void DorasDropoutIsOnTheAdaptersPathAlone()
    {
        using var scope = TensorScope.Begin();
        using var layer = new Linear(6, 4, new Generator(3));
        var config = new LoraConfig { R = 2, LoraAlpha = 3, UseDora = true, LoraDropout = 0.5 };
        using var lora = Random(layer, config);
        var x = GradientCheck.Leaf(1, Shape.Of(5, 6), requiresGrad: false);
        layer.Training = true;
        var stream = new Generator(5);
        // New draws A; the stream is then where the layer's first mask begins.
        using (LoraLinear.New(layer, config, 2, 1.5, stream))
        {
        }
        var dropped = x.Dropout(DropoutMask.Draw(0.5f, stream));
        var y = layer.Forward(x).ToArray();
        Assert.NotEqual(x.ToArray(), dropped.ToArray());
        var whole = x.Linear(layer.Weight, layer.Bias!.Value).ToArray();
        var part = dropped.Linear(layer.Weight).ToArray();
        var scaled = Dora(lora, dropped.ToArray(), 5);
        for (var i = 0; i < y.Length; i++)
            Assert.Equal(whole[i] - part[i] + scaled[i] - layer.Bias.Value.ToArray()[i % 4], y[i], Tolerance);
    }

    [Fact]
    public void BiasOnBIsScaledAndMerges()
    {
        using var scope = TensorScope.Begin();
        using var layer = new Linear(6, 4, new Generator(3));
        using var lora = Random(layer, new LoraConfig { R = 2, LoraAlpha = 3, BiasOnB = true });
        var x = GradientCheck.Leaf(1, Shape.Of(5, 6), requiresGrad: false);
        var y = layer.Forward(x).ToArray();
        var bias = lora.BiasOnB!.Value.ToArray();
        var without = x.LoraLinear(layer.Weight, layer.Bias!.Value, lora.A, lora.B, lora.Scale).ToArray();
        for (var i = 0; i < y.Length; i++)
            Assert.Equal(without[i] + (1.5 * bias[i % 4]), y[i], Tolerance);
        var former = layer.Bias.Value.ToArray();
        lora.Merge();
        var merged = layer.Forward(x).ToArray();
        for (var i = 0; i < y.Length; i++)
            Assert.Equal(y[i], merged[i], Tolerance);
        lora.Unmerge();
        Assert.Equal(former, layer.Bias.Value.ToArray());
    }

    [Theory]
    [InlineData("dora")]
    [InlineData("embedding")]
    [InlineData("lm_head")]
    [InlineData("rank256")]
    public void FilesAndMergeHoldTheVariant(string variant)
    {
        var config = variant switch
        {
            "dora" => new LoraConfig { R = 2, UseDora = true, TargetModules = ModuleSelector.AllLinear },
            "embedding" => new LoraConfig { R = 2, TargetModules = ModuleSelector.Of("embed_tokens", "q_proj") },
            "lm_head" => new LoraConfig { R = 2, TargetModules = ModuleSelector.Of("lm_head") },
            _ => new LoraConfig { R = 256, TargetModules = ModuleSelector.Of("q_proj") },
        };
        using var model = TinyModel.Create();
        var before = TinyModel.Logits(model);
        using var saved = LoraAdapter.Create(model, config, new Generator(5));
        Near(before, TinyModel.Logits(model));
        TinyModel.Train(saved, 6);
        var logits = TinyModel.Logits(model);
        saved.Save(folder.Path);
        saved.Deactivate();
        Assert.Equal(before, TinyModel.Logits(model));
        using var loaded = AdapterFolder.Load(model, folder.Path, "loaded");
        Assert.Empty(loaded.IgnoredTensors);
        Assert.Equal(logits, TinyModel.Logits(model));
        loaded.Merge();
        Near(logits, TinyModel.Logits(model));
        loaded.Unmerge();
        loaded.Deactivate();
        Near(before, TinyModel.Logits(model));
        // Merged before its first use.
        using var merged = AdapterFolder.Load(model, folder.Path);
        merged.Merge();
        Near(logits, TinyModel.Logits(model));
        merged.Unmerge();
    }

    [Fact]
    public void KeysOfEachVariantArePefts()
    {
        using var model = TinyModel.Create();
        var first = new LoraConfig { R = 2, LayersToTransform = [0], TargetModules = ModuleSelector.Of("q_proj") };
        const string Path = "base_model.model.model.layers.0.self_attn.q_proj.";
        AssertKeys(first with { UseDora = true }, [Path + "lora_A.weight [2, 8]", Path + "lora_B.weight [8, 2]",
            Path + "lora_magnitude_vector [8]"]);
        AssertKeys(first with { BiasOnB = true }, [Path + "lora_A.weight [2, 8]", Path + "lora_B.bias [8]",
            Path + "lora_B.weight [8, 2]"]);
        AssertKeys(new LoraConfig { R = 2, TargetModules = ModuleSelector.Of("embed_tokens") },
            ["base_model.model.model.embed_tokens.lora_embedding_A [2, 20]",
                "base_model.model.model.embed_tokens.lora_embedding_B [8, 2]"]);

        void AssertKeys(LoraConfig config, string[] expected)
        {
            using (var adapter = LoraAdapter.Create(model, config, new Generator(5)))
                adapter.Save(folder.Path);
            using var file = SafetensorsFile.Open(folder.File("adapter_model.safetensors"));
            Assert.Equal(expected, file.Entries.Values
                .Select(entry => $"{entry.Name} [{string.Join(", ", entry.Shape)}]").Order(StringComparer.Ordinal));
            using var json = JsonDocument.Parse(File.ReadAllText(folder.File(LoraConfig.FileName)));
            Assert.Equal(config.UseDora, json.RootElement.GetProperty("use_dora").GetBoolean());
            Assert.Equal(config.BiasOnB, json.RootElement.GetProperty("lora_bias").GetBoolean());
            Assert.Equal((config.UseDora, config.BiasOnB),
                (LoraConfig.Read(folder.Path).UseDora, LoraConfig.Read(folder.Path).BiasOnB));
        }
    }

    [Fact]
    public void AnEmbeddingIsLookedUpAndAddedInItsFormula()
    {
        using var scope = TensorScope.Begin();
        using var model = TinyModel.Create();
        var config = new LoraConfig { R = 2, LoraAlpha = 6, TargetModules = ModuleSelector.Of("embed_tokens") };
        using var adapter = LoraAdapter.Create(model, config, new Generator(5));
        TinyModel.Train(adapter, 6);
        adapter.Save(folder.Path);
        using var file = SafetensorsFile.Open(folder.File("adapter_model.safetensors"));
        float[] a = Values("lora_embedding_A"), b = Values("lora_embedding_B"); // (2, 20), (8, 2)
        var weight = model.Embedding.Weight.Value.ToArray();
        var y = model.Embedding.Forward(Tensor.From([7, 3], Shape.Of(1, 2))).ToArray();
        int[] ids = [7, 3];
        for (var i = 0; i < y.Length; i++)
        {
            var (id, c) = (ids[i / 8], i % 8);
            var product = ((double)b[c * 2] * a[id]) + ((double)b[(c * 2) + 1] * a[20 + id]);
            Assert.Equal(weight[(id * 8) + c] + (3 * product), y[i], Tolerance);
        }

        float[] Values(string name) => file.Span<float>(
            file.Entry($"base_model.model.model.embed_tokens.{name}")).ToArray();
    }

    [Fact]
    public void LoraFaTrainsBAlone()
    {
        using var model = TinyModel.Create();
        using var adapter = LoraAdapter.Create(model, new LoraConfig { R = 2 }, new Generator(5));
        adapter.FreezeA();
        Assert.Equal(adapter.Layers.Select(l => l.B), adapter.TrainableParameters());
        Assert.All(adapter.Layers, layer => Assert.Equal((false, true), (layer.A.Trainable, layer.B.Trainable)));
        Assert.Equal(adapter.Layers.Sum(l => l.A.Value.Count + l.B.Value.Count), adapter.AddedParameters);
    }

    [Fact]
    public void ImpossibleCombinationsNameBothSettings()
    {
        Refused(new LoraConfig { UseDora = true, BiasOnB = true }, "lora_bias", "use_dora");
        Refused(new LoraConfig { UseDora = true, InitLoraWeights = LoraInit.Pissa }, "use_dora", "pissa");
        Refused(new LoraConfig { BiasOnB = true, InitLoraWeights = LoraInit.Gaussian }, "lora_bias", "gaussian");
        Refused(
            new LoraConfig { UseDora = true, TargetModules = ModuleSelector.Of("embed_tokens") }, "use_dora",
            "embed_tokens");
        using var model = TinyModel.Create();
        using var adapter = LoraAdapter.Create(model, new LoraConfig { BiasOnB = true }, new Generator(5));
        Assert.Contains("lora_bias", Assert.Throws<UserErrorException>(adapter.Merge).Message);

        static void Refused(LoraConfig config, params string[] names)
        {
            using var model = TinyModel.Create();
            var error = Assert.Throws<UserErrorException>(() => LoraAdapter.Create(model, config, new Generator(5)));
            Assert.All(names, name => Assert.Contains(name, error.Message));
        }
    }

    private static LoraLinear Random(Linear layer, LoraConfig config)
    {
        var lora = LoraLinear.From(layer, config, new Generator(5));
        RandomParameters.Fill(lora.B.Value, Initializer.Normal(0.7f), new Generator(6));
        if (lora.BiasOnB is { } bias)
            RandomParameters.Fill(bias.Value, Initializer.Normal(0.7f), new Generator(7));
        if (lora.Dora is { } dora)
            RandomParameters.Fill(dora.Vector.Value, Initializer.Normal(0.7f), new Generator(7));
        return lora;
    }

    // (m / n) (W + s B A) x + b.
    private static double[] Dora(LoraLinear lora, float[] x, int rows, double[]? fixedNorms = null)
    {
        var (weight, norms, m) = (Sum(lora), fixedNorms ?? Norms(lora), lora.Dora!.Vector.Value.ToArray());
        var bias = lora.Linear.Bias?.Value.ToArray();
        var y = new double[rows * 4];
        for (var t = 0; t < rows; t++)
        {
            for (var o = 0; o < 4; o++)
            {
                double sum = 0;
                for (var i = 0; i < 6; i++)
                    sum += weight[(o * 6) + i] * x[(t * 6) + i];
                y[(t * 4) + o] = (m[o] / norms[o] * sum) + (bias?[o] ?? 0);
            }
        }
        return y;
    }

    private static double[] Norms(LoraLinear lora)
    {
        var weight = Sum(lora);
        return [.. Enumerable.Range(0, 4).Select(o => Math.Sqrt(weight.Skip(o * 6).Take(6).Sum(w => w * w)))];
    }

    private static double[] Sum(LoraLinear lora)
    {
        float[] a = lora.A.Value.ToArray(), b = lora.B.Value.ToArray();
        var sum = lora.Linear.Weight.Value.ToArray().Select(w => (double)w).ToArray();
        for (var i = 0; i < sum.Length; i++)
        {
            for (var j = 0; j < 2; j++)
                sum[i] += (double)lora.Scale * b[(i / 6 * 2) + j] * a[(j * 6) + (i % 6)];
        }
        return sum;
    }

    // Logits of about 1 through two layers.
    private static void Near(float[] expected, float[] actual)
    {
        for (var i = 0; i < expected.Length; i++)
            Assert.Equal(expected[i], actual[i], 5e-5);
    }
}
