using CudaLora.Engine;
using CudaLora.Lora;

namespace CudaLora.Tests.Lora;

public class TargetModulesTests
{
    private static readonly ModulePath[] Llama = MakeLlama();

    private static ModulePath[] MakeLlama()
    {
        var modules = new List<ModulePath>
        {
            new("model", ModuleKind.Other), new("model.embed_tokens", ModuleKind.Embedding),
        };
        for (int i = 0; i < 12; i++)
        {
            modules.Add(new($"model.layers.{i}.self_attn", ModuleKind.Other));
            foreach (string name in (string[])["q_proj", "k_proj", "v_proj", "o_proj"])
                modules.Add(new($"model.layers.{i}.self_attn.{name}", ModuleKind.Linear));
            foreach (string name in (string[])["gate_proj", "up_proj", "down_proj"])
                modules.Add(new($"model.layers.{i}.mlp.{name}", ModuleKind.Linear));
        }
        modules.Add(new("lm_head", ModuleKind.OutputEmbedding));
        return [.. modules];
    }

    private static string[] Paths(LoraConfig config, ModulePath[]? modules = null,
        ModelFamily family = ModelFamily.Llama) =>
        TargetModules.Resolve(config, modules ?? Llama, family).Select(t => t.Module.Path).ToArray();

    private static LoraConfig Names(params string[] names) => new() { TargetModules = ModuleSelector.Of(names) };

    private static LoraConfig Regex(string pattern) => new() { TargetModules = ModuleSelector.FromPattern(pattern) };

    [Fact]
    public void ANameMatchesTheEndAfterADot()
    {
        Assert.Equal(12, Paths(Names("q_proj")).Length);
        Assert.Equal(["model.layers.3.mlp.up_proj"], Paths(Names("layers.3.mlp.up_proj")));
        Assert.Equal(["lm_head"], Paths(Names("lm_head")));
        // "proj" is the end of the text but not a component.
        Assert.Throws<UserErrorException>(() => Paths(Names("proj")));
    }

    [Fact]
    public void ARegexMustMatchTheWholePath()
    {
        Assert.Equal(24, Paths(Regex(@".*\.(q|v)_proj")).Length);
        Assert.Throws<UserErrorException>(() => Paths(Regex("q_proj")));
        Assert.Equal(["model.layers.1.self_attn.q_proj"], Paths(Regex(@"model\.layers\.1\.self_attn\.q_proj")));
        Assert.Equal(3, Paths(Regex(@"(?P<a>model)\.layers\.[0-2]\.mlp\.up_proj\Z")).Length);
        Assert.Equal(10, Paths(Regex(@"model\.layers\.\d{,1}\.mlp\.up_proj")).Length);
        // An alternative binds weaker than the anchors that fullmatch implies.
        Assert.Equal(["lm_head"], Paths(Regex("lm_head|q_proj")));
    }

    [Fact]
    public void AllLinearLeavesOutTheHeadAndSavesShortNames()
    {
        var config = new LoraConfig { TargetModules = ModuleSelector.AllLinear };
        IReadOnlyList<LoraTarget> targets = TargetModules.Resolve(config, Llama, ModelFamily.Llama);
        Assert.Equal(84, targets.Count);
        LoraConfig saved = TargetModules.Expanded(config, targets, Llama);
        Assert.Equal(["down_proj", "gate_proj", "k_proj", "o_proj", "q_proj", "up_proj", "v_proj"],
            saved.TargetModules!.Names);
        Assert.Equal(targets, TargetModules.Resolve(saved, Llama, ModelFamily.Llama));
    }

    [Fact]
    public void ShortNamesAreNotUsedWhereTheyWouldCatchMore()
    {
        ModulePath[] modules = [new("a.x", ModuleKind.Linear), new("b.x", ModuleKind.OutputEmbedding)];
        var config = new LoraConfig { TargetModules = ModuleSelector.AllLinear };
        LoraConfig saved = TargetModules.Expanded(
            config, TargetModules.Resolve(config, modules, ModelFamily.Llama), modules);
        Assert.Equal(["a.x"], saved.TargetModules!.Names);
    }

    [Fact]
    public void WithoutTargetsTheFamilyDecides()
    {
        Assert.Equal(24, Paths(new LoraConfig()).Length);
        ModulePath[] gpt2 = [new("transformer.h.0.attn.c_attn", ModuleKind.Conv1D),
            new("transformer.h.0.attn.c_proj", ModuleKind.Conv1D)];
        Assert.Equal(["transformer.h.0.attn.c_attn"], Paths(new LoraConfig(), gpt2, ModelFamily.Gpt2));
    }

    [Fact]
    public void LayersToTransformCountsTheFirstNumberAfterAName()
    {
        LoraConfig config = Names("q_proj", "v_proj") with { LayersToTransform = [1, 10] };
        Assert.Equal(
            ["model.layers.1.self_attn.q_proj", "model.layers.1.self_attn.v_proj", "model.layers.10.self_attn.q_proj",
                "model.layers.10.self_attn.v_proj"], Paths(config));
        Assert.Equal(4, Paths(config with { LayersPattern = ["layers"] }).Length);
        Assert.Throws<UserErrorException>(() => Paths(config with { LayersPattern = ["h"] }));
        // A module outside any numbered layer is not transformed.
        Assert.Throws<UserErrorException>(() => Paths(Names("lm_head") with { LayersToTransform = [0] }));
    }

    [Fact]
    public void ExcludedAndFullyTrainedModulesAreLeftOut()
    {
        LoraConfig config = Names("q_proj", "lm_head");
        Assert.Equal(12, Paths(config with { ModulesToSave = ["lm_head"] }).Length);
        Assert.Equal(["lm_head"], Paths(config with { ExcludeModules = ModuleSelector.Of("q_proj") }));
        Assert.Equal(["lm_head"], Paths(config with { ExcludeModules = ModuleSelector.FromPattern(".*q_proj") }));
        Assert.Equal(["lm_head"], Paths(config with { ModulesToSave = ["self_attn"] }));
    }

    [Fact]
    public void TheFirstPatternThatMatchesGivesRankAndAlpha()
    {
        LoraConfig config = Names("q_proj", "v_proj") with
        {
            R = 8,
            LoraAlpha = 16,
            LayersToTransform = [0, 1],
            RankPattern = [new(@"layers\.1\.self_attn\.q_proj", 2), new("q_proj", 4), new("^v_proj", 99)],
            AlphaPattern = [new("layers.*v_proj", 32)],
        };
        IReadOnlyList<LoraTarget> targets = TargetModules.Resolve(config, Llama, ModelFamily.Llama);
        Assert.Equal([(4, 16.0, 4.0), (8, 32, 4), (2, 16, 8), (8, 32, 4)],
            targets.Select(t => (t.Rank, t.Alpha, t.Scale)));
    }

    [Fact]
    public void ErrorsListWhatExists()
    {
        string message = Assert.Throws<UserErrorException>(() => Paths(Names("q_proj", "query"))).Message;
        Assert.Equal("target_modules must name modules of the model, but 'query' is none; "
            + "there are: q_proj, k_proj, v_proj, o_proj, gate_proj, up_proj, down_proj, lm_head", message);
        Assert.Contains("'model.layers.0.self_attn' is not; there are: q_proj",
            Assert.Throws<UserErrorException>(() => Paths(Names("self_attn"))).Message);
        Assert.Equal(["model.embed_tokens"], Paths(Names("embed_tokens")));
        Assert.Equal(12, TargetModules.Resolve(Names("q_proj", "query"), Llama, ModelFamily.Llama, false).Count);
    }

    [Fact]
    public void APatternThatNeverEndsIsRefused()
    {
        ModulePath[] modules = [new(new string('a', 200) + "!", ModuleKind.Linear)];
        Assert.Contains("takes too long",
            Assert.Throws<UserErrorException>(() => Paths(Regex("(a+)+$"), modules)).Message);
    }

    [Fact]
    public void TheRealAdapterTargetsEveryLayerOfGpt2()
    {
        LoraConfig config = LoraConfig.Read(SharedData.Require("adapters/trl_kto_gpt2"));
        ModulePath[] modules = Enumerable.Range(0, 12).SelectMany(i => (ModulePath[])
            [new($"transformer.h.{i}.attn.c_attn", ModuleKind.Conv1D),
                new($"transformer.h.{i}.mlp.c_fc", ModuleKind.Conv1D)])
            .ToArray();
        IReadOnlyList<LoraTarget> targets = TargetModules.Resolve(config, modules, ModelFamily.Gpt2);
        using SafetensorsFile file =
            SafetensorsFile.Open(SharedData.Require("adapters/trl_kto_gpt2/adapter_model.safetensors"));
        Assert.Equal(file.Entries.Keys.Order(StringComparer.Ordinal), targets
            .SelectMany(t => (string[])["A", "B"], (t, m) => $"base_model.model.{t.Module.Path}.lora_{m}.weight")
            .Order(StringComparer.Ordinal));
        Assert.All(targets, t => Assert.Equal(
            [t.Rank, 768], file.Entry($"base_model.model.{t.Module.Path}.lora_A.weight").Shape));
    }
}
