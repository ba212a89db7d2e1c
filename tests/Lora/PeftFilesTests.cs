using System.Text.Json;
using CudaLora.Engine;
using CudaLora.Lora;

namespace CudaLora.Tests.Lora;

/// <summary>
/// Adapter folders: keys and shapes as in PEFT's checkpoint format
/// (https://huggingface.co/docs/peft/main/en/developer_guides/checkpoint).
/// </summary>
public sealed class PeftFilesTests : IDisposable
{
    private const string Weights = "adapter_model.safetensors";

    private readonly TemporaryFolder folder = new();

    public void Dispose() => folder.Dispose();

    [Theory]
    [InlineData(SafetensorsDType.F32)]
    [InlineData(SafetensorsDType.BF16)]
    [InlineData(SafetensorsDType.F16)]
    public void ASavedAdapterComesBackBitForBit(SafetensorsDType dtype)
    {
        using var model = TinyModel.Create(ModelFamily.Qwen2);
        var config = new LoraConfig
        {
            R = 2,
            TargetModules = ModuleSelector.AllLinear,
            ModulesToSave = ["lm_head"],
            Bias = LoraBias.LoraOnly,
        };
        using var saved = LoraAdapter.Create(model, config, new Generator(5));
        TinyModel.Train(saved, 6);
        // Values that all three types can hold, so that none is rounded.
        foreach (var parameter in saved.TrainableParameters())
        {
            foreach (ref var value in parameter.Value.Span<float>())
                value = MathF.Round(value * 32) / 32;
        }
        var logits = TinyModel.Logits(model);
        saved.Save(folder.Path, dtype);
        saved.Deactivate();

        using var loaded = LoraAdapter.Load(model, folder.Path, "loaded");
        Assert.Equal(logits, TinyModel.Logits(model));
        Assert.Empty(loaded.IgnoredTensors);
        Assert.All(loaded.TrainableParameters(), parameter => Assert.False(parameter.Trainable));
        using var file = SafetensorsFile.Open(folder.File(Weights));
        Assert.All(file.Entries.Values, entry => Assert.Equal(dtype, entry.DType));
        Assert.Equal("pt", file.Metadata["format"]);
    }

    [Fact]
    public void LlamasKeysAndShapes() => Saved(
        ModelFamily.Llama,
        new LoraConfig
        {
            R = 2,
            TargetModules = ModuleSelector.Of("q_proj", "down_proj"),
            LayersToTransform = [1],
            ModulesToSave = ["embed_tokens", "lm_head"],
            RankPattern = [KeyValuePair.Create("down_proj", 3)],
        },
        ["base_model.model.lm_head.weight [20, 8]",
            "base_model.model.model.embed_tokens.weight [20, 8]",
            "base_model.model.model.layers.1.mlp.down_proj.lora_A.weight [3, 12]",
            "base_model.model.model.layers.1.mlp.down_proj.lora_B.weight [8, 3]",
            "base_model.model.model.layers.1.self_attn.q_proj.lora_A.weight [2, 8]",
            "base_model.model.model.layers.1.self_attn.q_proj.lora_B.weight [8, 2]"]);

    // Conv1D: A and B as on any linear layer; a whole layer is stored (in, out).
    [Fact]
    public void Gpt2sKeysAndShapes() => Saved(
        ModelFamily.Gpt2,
        new LoraConfig { R = 2, LayersToTransform = [0], ModulesToSave = ["h.1.mlp.c_fc"] },
        ["base_model.model.transformer.h.0.attn.c_attn.lora_A.weight [2, 8]",
            "base_model.model.transformer.h.0.attn.c_attn.lora_B.weight [24, 2]",
            "base_model.model.transformer.h.1.mlp.c_fc.bias [12]",
            "base_model.model.transformer.h.1.mlp.c_fc.weight [8, 12]"]);

    [Fact]
    public void BiasesOfAdaptedLayersHaveTheBaseLayersName()
    {
        var config = new LoraConfig { R = 2, LayersToTransform = [0], TargetModules = ModuleSelector.Of("q_proj") };
        string[] adapter =
        [
            "base_model.model.model.layers.0.self_attn.q_proj.lora_A.weight [2, 8]",
            "base_model.model.model.layers.0.self_attn.q_proj.lora_B.weight [8, 2]",
        ];
        const string Attention = "base_model.model.model.layers.";
        Saved(ModelFamily.Qwen2, config with { Bias = LoraBias.LoraOnly },
            [Attention + "0.self_attn.q_proj.base_layer.bias [8]", .. adapter]);
        Saved(ModelFamily.Qwen2, config with { Bias = LoraBias.All },
            [Attention + "0.self_attn.k_proj.bias [4]", Attention + "0.self_attn.q_proj.base_layer.bias [8]",
                .. adapter,
                Attention + "0.self_attn.v_proj.bias [4]", Attention + "1.self_attn.k_proj.bias [4]",
                Attention + "1.self_attn.q_proj.bias [8]", Attention + "1.self_attn.v_proj.bias [4]"]);
    }

    [Fact]
    public void TheConfigNamesWhatWasAdapted()
    {
        using var model = TinyModel.Create(ModelFamily.Gpt2);
        using var adapter = LoraAdapter.Create(
            model,
            new LoraConfig { R = 4, LoraAlpha = 16, LoraDropout = 0.1, TargetModules = ModuleSelector.AllLinear },
            new Generator(5));
        adapter.Save(folder.Path);
        using var json = JsonDocument.Parse(File.ReadAllText(folder.File(LoraConfig.FileName)));
        var root = json.RootElement;
        Assert.Equal("LORA", root.GetProperty("peft_type").GetString());
        Assert.Equal("CAUSAL_LM", root.GetProperty("task_type").GetString());
        Assert.Equal((4, 16, 0.1), (root.GetProperty("r").GetInt32(), root.GetProperty("lora_alpha").GetInt32(),
            root.GetProperty("lora_dropout").GetDouble()));
        Assert.Equal(["c_attn", "c_fc", "c_proj"],
            root.GetProperty("target_modules").EnumerateArray().Select(name => name.GetString()));
        // Conv1D stores (in, out); PEFT sets the field by itself.
        Assert.True(root.GetProperty("fan_in_fan_out").GetBoolean());
        Assert.True(root.GetProperty("inference_mode").GetBoolean());
    }

    [Fact]
    public void OldSpellingsOfKeysAreRead()
    {
        using var model = TinyModel.Create(ModelFamily.Qwen2);
        var config = new LoraConfig
        {
            TargetModules = ModuleSelector.Of("q_proj"),
            ModulesToSave = ["lm_head"],
            Bias = LoraBias.LoraOnly,
        };
        using var adapter = LoraAdapter.Create(model, config, new Generator(5));
        TinyModel.Train(adapter, 6);
        var logits = TinyModel.Logits(model);
        adapter.Save(folder.Path);
        Rewrite(name => name
            .Replace(".lora_A.weight", ".lora_A.default.weight")
            .Replace("lm_head.weight", "lm_head.modules_to_save.default.weight")
            .Replace(".base_layer.bias", ".bias"));
        adapter.Deactivate();
        using var loaded = LoraAdapter.Load(model, folder.Path);
        Assert.Equal(logits, TinyModel.Logits(model));
        Assert.Empty(loaded.IgnoredTensors);
    }

    [Fact]
    public void TensorsWithoutAPlaceAreListed()
    {
        using var model = TinyModel.Create();
        // A name of another family in the list is no mistake: the adapter may serve several.
        using (var adapter = LoraAdapter.Create(model, new LoraConfig(), new Generator(5)))
            adapter.Save(folder.Path);
        var config = LoraConfig.Read(folder.Path);
        (config with { TargetModules = ModuleSelector.Of("q_proj", "c_attn") }).Write(folder.Path);
        using var loaded = LoraAdapter.Load(model, folder.Path);
        Assert.Equal(
            ["base_model.model.model.layers.0.self_attn.v_proj.lora_A.weight",
                "base_model.model.model.layers.0.self_attn.v_proj.lora_B.weight",
                "base_model.model.model.layers.1.self_attn.v_proj.lora_A.weight",
                "base_model.model.model.layers.1.self_attn.v_proj.lora_B.weight"],
            loaded.IgnoredTensors);
    }

    [Fact]
    public void AnAdapterOfAnotherBaseIsRefusedWithNamesAndShapes()
    {
        using (var small = TinyModel.Create())
        using (var adapter = LoraAdapter.Create(small, new LoraConfig { R = 2 }, new Generator(5)))
            adapter.Save(folder.Path);
        using var wide = TinyModel.Create(hidden: 16);
        var before = TinyModel.Logits(wide);
        Assert.Equal(
            $"{folder.File(Weights)}: tensor 'base_model.model.model.layers.0.self_attn.q_proj.lora_A.weight' must have " +
            "shape (2, 16) for this base model and rank, but has (2, 8)", Refusal(wide));
        Assert.Equal(before, TinyModel.Logits(wide));
        Assert.Null(wide.ActiveAdapter);
        using var gpt2 = TinyModel.Create(ModelFamily.Gpt2);
        Assert.Contains("[q_proj, v_proj]", Refusal(gpt2));
        Assert.Contains("there are: c_attn, c_proj, c_fc, lm_head", Refusal(gpt2));
    }

    [Fact]
    public void MissingTensorsFilesAndPicklesAreNamed()
    {
        using var model = TinyModel.Create();
        using (var adapter = LoraAdapter.Create(model, new LoraConfig(), new Generator(5)))
            adapter.Save(folder.Path);
        Rewrite(name => name.Contains("layers.1.self_attn.v_proj.lora_B") ? null : name);
        Assert.StartsWith(
            $"{folder.File(Weights)}: has no tensor 'base_model.model.model.layers.1.self_attn.v_proj.lora_B.weight', " +
            "which adapter_config.json asks for", Refusal(model));
        File.Move(folder.File(Weights), folder.File("adapter_model.bin"));
        Assert.Contains("adapter_model.bin is a Python pickle", Refusal(model));
        File.Delete(folder.File("adapter_model.bin"));
        Assert.StartsWith(folder.File(Weights), Refusal(model));
    }

    [Fact]
    public void TwoSpellingsOfOneTensorAreRefused()
    {
        using var model = TinyModel.Create();
        using (var adapter = LoraAdapter.Create(model, new LoraConfig(), new Generator(5)))
            adapter.Save(folder.Path);
        Rewrite(name => name, name => name.Replace(".lora_A.weight", ".lora_A.default.weight"));
        Assert.Contains("each tensor must be there once", Refusal(model));
    }

    [Fact]
    public void AFailedSaveIsAUserError()
    {
        using var model = TinyModel.Create();
        using var adapter = LoraAdapter.Create(model, new LoraConfig(), new Generator(5));
        var file = folder.Write("file", "");
        Assert.StartsWith(Path.Combine(file, Weights),
            Assert.Throws<UserErrorException>(() => adapter.Save(file)).Message);
    }

    [Fact]
    public void AnInactiveAdapterSavesItsOwnBiases()
    {
        using var model = TinyModel.Create(ModelFamily.Qwen2);
        using var adapter = LoraAdapter.Create(model, new LoraConfig { Bias = LoraBias.All }, new Generator(5));
        TinyModel.Train(adapter, 6);
        var trained = TinyModel.Logits(model);
        adapter.Deactivate();
        adapter.Save(folder.Path);
        adapter.Activate();
        TinyModel.Train(adapter, 7);
        adapter.Restore(folder.Path);
        Assert.Equal(trained, TinyModel.Logits(model));
        adapter.Merge();
        Assert.Throws<InvalidOperationException>(() => adapter.Restore(folder.Path));
    }

    // GPT-2's twelve layers of 768, with a small vocabulary: the adapter touches the blocks only.
    [Fact]
    public void TheRealAdapterLoadsMergesAndRoundTrips()
    {
        var source = SharedData.Require("adapters/trl_kto_gpt2");
        using var model = CausalLM.Create(
            new ModelConfig
            {
                Family = ModelFamily.Gpt2,
                VocabSize = 32,
                HiddenSize = 768,
                IntermediateSize = 16,
                Layers = 12,
                Heads = 12,
                KeyValueHeads = 12,
                HeadDim = 64,
                MaxPositions = 16,
                TieWordEmbeddings = true,
                QkvBias = true,
                AttentionOutputBias = true,
                MlpBias = true,
                Activation = Activation.GeluTanh,
            },
            1);
        using var adapter = LoraAdapter.Load(model, source);
        Assert.Equal((12, 16, 1f), (adapter.Layers.Count, adapter.Layers[0].Rank, adapter.Layers[0].Scale));
        Assert.Empty(adapter.IgnoredTensors);
        var apart = TinyModel.Logits(model);
        adapter.Save(folder.Path);
        using var before = SafetensorsFile.Open(Path.Combine(source, Weights));
        using var after = SafetensorsFile.Open(folder.File(Weights));
        Assert.Equal(before.Entries.Keys.Order(), after.Entries.Keys.Order());
        foreach (var entry in before.Entries.Values)
            Assert.True(before.Bytes(entry).SequenceEqual(after.Bytes(after.Entry(entry.Name))), entry.Name);
        adapter.Merge();
        var merged = TinyModel.Logits(model);
        for (var i = 0; i < apart.Length; i++)
            Assert.Equal(apart[i], merged[i], 1e-4);
    }

    private string Refusal(CausalLM model) =>
        Assert.Throws<UserErrorException>(() => LoraAdapter.Load(model, folder.Path)).Message;

    private void Saved(ModelFamily family, LoraConfig config, string[] expected)
    {
        using var model = TinyModel.Create(family);
        using (var adapter = LoraAdapter.Create(model, config, new Generator(5)))
            adapter.Save(folder.Path);
        using var file = SafetensorsFile.Open(folder.File(Weights));
        Assert.Equal(
            expected,
            file.Entries.Values.Select(entry => $"{entry.Name} [{string.Join(", ", entry.Shape)}]")
                .Order(StringComparer.Ordinal));
    }

    /// <summary>
    /// Writes the weights again under the names that each of the functions gives; null leaves a tensor out.
    /// </summary>
    private void Rewrite(params Func<string, string?>[] rename)
    {
        var writer = new SafetensorsWriter();
        using (var file = SafetensorsFile.Open(folder.File(Weights)))
        {
            foreach (var entry in file.Entries.Values)
            {
                foreach (var name in rename.Select(f => f(entry.Name)).OfType<string>().Distinct())
                    writer.AddF32(name, [.. entry.Shape], file.Span<float>(entry).ToArray());
            }
        }
        writer.Save(folder.File(Weights));
    }
}
