using CudaLora.Engine;
using CudaLora.Lora;

namespace CudaLora.Tests.Lora;

/// <summary>Adapters in memory: creation, switching, merging.</summary>
public class LoraAdapterTests
{
    // Logits of these models are about 1; W + sBA rounds each weight once, and 8 to 12 of them are summed per layer.
    private const double MergeTolerance = 1e-5;

    private static readonly LoraConfig Everything = new()
    {
        R = 2,
        LoraAlpha = 4,
        TargetModules = ModuleSelector.AllLinear,
        ModulesToSave = ["embed_tokens", "lm_head"],
        Bias = LoraBias.All,
    };

    [Fact]
    public void ANewAdapterChangesNothing()
    {
        using var model = TinyModel.Create();
        var before = TinyModel.Logits(model);
        using var adapter = LoraAdapter.Create(model, Everything, new Generator(5));
        Assert.Equal(before, TinyModel.Logits(model));
        Assert.All(model.Parameters(), parameter => Assert.False(parameter.Trainable));
        Assert.All(adapter.TrainableParameters(), parameter => Assert.True(parameter.Trainable));
    }

    [Theory]
    [InlineData(ModelFamily.Llama)]
    [InlineData(ModelFamily.Qwen2)]
    [InlineData(ModelFamily.Gpt2)]
    public void DisablingBringsTheBaseBackBitForBit(ModelFamily family)
    {
        using var model = TinyModel.Create(family);
        var before = TinyModel.Logits(model);
        using (var adapter = LoraAdapter.Create(model, For(family), new Generator(5)))
        {
            TinyModel.Train(adapter, 6);
            var trained = TinyModel.Logits(model);
            Assert.NotEqual(before, trained);
            adapter.Deactivate();
            Assert.Equal(before, TinyModel.Logits(model));
            adapter.Activate();
            Assert.Equal(trained, TinyModel.Logits(model));
        }
        Assert.Equal(before, TinyModel.Logits(model));
    }

    [Fact]
    public void NamedAdaptersOnOneBaseSwitch()
    {
        using var model = TinyModel.Create(ModelFamily.Gpt2);
        var plain = TinyModel.Logits(model);
        using var first = LoraAdapter.Create(model, For(ModelFamily.Gpt2), new Generator(5), "first");
        TinyModel.Train(first, 6);
        var ofFirst = TinyModel.Logits(model);
        using var second = LoraAdapter.Create(
            model, new LoraConfig { R = 3, TargetModules = ModuleSelector.Of("c_fc"), Bias = LoraBias.LoraOnly },
            new Generator(7), "second");
        Assert.Equal(plain, TinyModel.Logits(model));
        TinyModel.Train(second, 8);
        var ofSecond = TinyModel.Logits(model);

        first.Activate();
        Assert.Equal((true, false, first), (first.IsActive, second.IsActive, model.ActiveAdapter));
        Assert.Equal(ofFirst, TinyModel.Logits(model));
        second.Activate();
        Assert.Equal(ofSecond, TinyModel.Logits(model));
        second.Deactivate();
        Assert.Null(model.ActiveAdapter);
        Assert.Equal(plain, TinyModel.Logits(model));
        Assert.Equal(("first", "second"), (first.Name, second.Name));
    }

    // Gradient checkpointing repeats a block's dropout by rewinding the model's stream: it must be the active
    // adapter's.
    [Fact]
    public void TheDropoutStreamIsTheActiveAdapters()
    {
        using var model = TinyModel.Create();
        var (a, b) = (new Generator(1), new Generator(2));
        using var first = LoraAdapter.Create(model, new LoraConfig(), a);
        using var second = LoraAdapter.Create(model, new LoraConfig(), b);
        Assert.Same(b, model.Random);
        first.Activate();
        Assert.Same(a, model.Random);
    }

    [Theory]
    [InlineData(ModelFamily.Llama)]
    [InlineData(ModelFamily.Qwen2)]
    [InlineData(ModelFamily.Gpt2)]
    public void AMergedModelIsANormalFolderWithTheSameLogits(ModelFamily family)
    {
        using var folder = new TemporaryFolder();
        using var model = TinyModel.Create(family);
        var plain = TinyModel.Logits(model);
        using var adapter = LoraAdapter.Create(model, For(family), new Generator(5));
        TinyModel.Train(adapter, 6);
        var apart = TinyModel.Logits(model);

        adapter.Merge();
        var merged = TinyModel.Logits(model);
        Near(apart, merged);
        model.Save(folder.Path);
        using (var loaded = CausalLM.Load(folder.Path))
            Assert.Equal(merged, TinyModel.Logits(loaded));
        adapter.Deactivate();
        Assert.Equal(merged, TinyModel.Logits(model));

        adapter.Unmerge();
        Near(plain, TinyModel.Logits(model));
        adapter.Activate();
        Near(apart, TinyModel.Logits(model));
    }

    [Fact]
    public void UnmergeBringsCopiesAndBiasesBackBitForBit()
    {
        using var model = TinyModel.Create(ModelFamily.Qwen2);
        var before = model.Parameters().ToDictionary(p => p.Path.Value, p => p.Value.ToArray());
        using var adapter = LoraAdapter.Create(model, Everything, new Generator(5));
        TinyModel.Train(adapter, 6);
        adapter.Merge();
        adapter.Merge();
        adapter.Deactivate();
        Assert.NotEqual(before["lm_head.weight"], model.Head.Weight.Value.ToArray());
        adapter.Unmerge();
        adapter.Unmerge();
        foreach (var parameter in model.Parameters())
        {
            if (adapter.Layers.Any(layer => layer.Linear.Weight == parameter))
                Near(before[parameter.Path.Value], parameter.Value.ToArray());
            else
                Assert.Equal(before[parameter.Path.Value], parameter.Value.ToArray());
        }
    }

    [Fact]
    public void AMergedAdapterOutlivesItsObject()
    {
        using var model = TinyModel.Create();
        float[] merged;
        using (var adapter = LoraAdapter.Create(model, Everything, new Generator(5)))
        {
            TinyModel.Train(adapter, 6);
            adapter.Merge();
            merged = TinyModel.Logits(model);
        }
        Assert.Equal(merged, TinyModel.Logits(model));
    }

    [Theory]
    [InlineData("embed_tokens")]
    [InlineData("lm_head")]
    public void OneWeightForEmbeddingAndOutputCannotHoldBoth(string name)
    {
        using var model = TinyModel.Create(tied: true);
        using var adapter = LoraAdapter.Create(
            model, new LoraConfig { ModulesToSave = [name] }, new Generator(5));
        var before = TinyModel.Logits(model);
        TinyModel.Train(adapter, 6);
        Assert.NotEqual(before, TinyModel.Logits(model));
        var error = Assert.Throws<UserErrorException>(adapter.Merge);
        Assert.Contains("model.embed_tokens or lm_head cannot be merged", error.Message);
        Assert.False(adapter.IsMerged);
        adapter.Deactivate();
        Assert.Equal(before, TinyModel.Logits(model));
    }

    [Fact]
    public void RanksAndScalesFollowThePatterns()
    {
        using var model = TinyModel.Create();
        using var adapter = LoraAdapter.Create(
            model,
            new LoraConfig
            {
                R = 4,
                LoraAlpha = 8,
                UseRsLora = true,
                TargetModules = ModuleSelector.Of("q_proj", "v_proj"),
                LayersToTransform = [1],
                RankPattern = [KeyValuePair.Create("v_proj", 2)],
                AlphaPattern = [KeyValuePair.Create("layers.1.self_attn.v_proj", 3.0)],
            },
            new Generator(5));
        Assert.Equal(
            [("model.layers.1.self_attn.q_proj", 4, 4f),
                ("model.layers.1.self_attn.v_proj", 2, (float)(3 / Math.Sqrt(2)))],
            adapter.Layers.Select(layer => (layer.Linear.Path.Value, layer.Rank, layer.Scale)));
        Assert.Equal((4 * 8) + (8 * 4) + (2 * 8) + (4 * 2), adapter.AddedParameters);
    }

    [Fact]
    public void UnknownModulesAreRefusedWithTheOnesThatExist()
    {
        using var model = TinyModel.Create();
        var error = Assert.Throws<UserErrorException>(() => LoraAdapter.Create(
            model, new LoraConfig { TargetModules = ModuleSelector.Of("q_proj", "c_attn") }, new Generator(5)));
        Assert.Equal(
            "target_modules must name modules of the model, but 'c_attn' is none; there are: " +
            "q_proj, k_proj, v_proj, o_proj, gate_proj, up_proj, down_proj, lm_head", error.Message);
        error = Assert.Throws<UserErrorException>(() => LoraAdapter.Create(
            model, new LoraConfig { ModulesToSave = ["score"] }, new Generator(5)));
        Assert.Equal(
            "modules_to_save must name modules of the model, but 'score' is none; there are: embed_tokens, " +
            "q_proj, k_proj, v_proj, o_proj, gate_proj, up_proj, down_proj, lm_head", error.Message);
        error = Assert.Throws<UserErrorException>(() => LoraAdapter.Create(
            model, new LoraConfig { ModulesToSave = ["norm"] }, new Generator(5)));
        Assert.Equal(
            "modules_to_save: only linear and embedding layers are supported, but got model.norm", error.Message);
        Assert.Null(model.ActiveAdapter);
    }

    private static LoraConfig For(ModelFamily family) => family == ModelFamily.Gpt2
        ? Everything with { ModulesToSave = ["wpe", "h.0.mlp.c_fc"] }
        : Everything;

    private static void Near(float[] expected, float[] actual)
    {
        for (var i = 0; i < expected.Length; i++)
            Assert.Equal(expected[i], actual[i], MergeTolerance);
    }
}
