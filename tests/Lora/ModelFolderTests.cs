using CudaLora.Engine;
using CudaLora.Lora;

namespace CudaLora.Tests.Lora;

public sealed class ModelFolderTests : IDisposable
{
    private readonly TemporaryFolder folder = new();

    public void Dispose() => folder.Dispose();

    private static ModelConfig Config(ModelFamily family = ModelFamily.Llama) => new()
    {
        Family = family,
        VocabSize = 20,
        HiddenSize = 8,
        IntermediateSize = 12,
        Layers = 2,
        Heads = 2,
        KeyValueHeads = family == ModelFamily.Gpt2 ? 2 : 1,
        HeadDim = 4,
        MaxPositions = 16,
        TieWordEmbeddings = family == ModelFamily.Gpt2,
        QkvBias = family is ModelFamily.Qwen2 or ModelFamily.Gpt2,
        AttentionOutputBias = family == ModelFamily.Gpt2,
        MlpBias = family == ModelFamily.Gpt2,
        Activation = family == ModelFamily.Gpt2 ? Activation.GeluTanh : Activation.Silu,
        EosTokenIds = [2],
    };

    /// <summary>Saves a fresh model, then lets the test change the list of its tensors.</summary>
    private void Write(Action<Dictionary<string, (long[] Shape, float[] Values)>> edit,
        ModelFamily family = ModelFamily.Llama)
    {
        using (var model = CausalLM.Create(Config(family), 1)) model.Save(folder.Path);
        var tensors = new Dictionary<string, (long[] Shape, float[] Values)>();
        using (var file = SafetensorsFile.Open(folder.File("model.safetensors")))
        {
            foreach (var entry in file.Entries.Values)
                tensors[entry.Name] = (entry.Shape.ToArray(), file.Span<float>(entry).ToArray());
        }
        edit(tensors);
        var writer = new SafetensorsWriter();
        foreach (var (name, (shape, values)) in tensors) writer.AddF32(name, shape, values);
        writer.Save(folder.File("model.safetensors"));
    }

    private string Refusal() => Assert.Throws<UserErrorException>(() => CausalLM.Load(folder.Path)).Message;

    [Fact]
    public void MissingTensorsAreNamed()
    {
        Write(t =>
        {
            t.Remove("model.norm.weight");
            t.Remove("lm_head.weight");
        });
        Assert.Equal($"{folder.Path}: the weights must hold every tensor of the model, "
            + "but lack model.norm.weight (8), lm_head.weight (20, 8)", Refusal());
    }

    [Fact]
    public void TensorsOfAnotherModelAreNamed()
    {
        // A bias that the config denies would change every result if it were left out in silence.
        Write(t => t["model.layers.0.self_attn.q_proj.bias"] = ([8], new float[8]));
        Assert.EndsWith("but also hold model.layers.0.self_attn.q_proj.bias", Refusal());
    }

    [Fact]
    public void WrongShapesAreNamed()
    {
        Write(t => t["model.layers.1.mlp.up_proj.weight"] = ([8, 12], new float[96]));
        Assert.Equal($"{folder.File("model.safetensors")}: tensor 'model.layers.1.mlp.up_proj.weight' "
            + "must be F32, F16, BF16 or F64 (12, 8), but is F32 (8, 12)", Refusal());
    }

    [Fact]
    public void WrongDTypesAreNamed()
    {
        using (var model = CausalLM.Create(Config(), 1)) model.Save(folder.Path);
        var writer = new SafetensorsWriter();
        using (var file = SafetensorsFile.Open(folder.File("model.safetensors")))
        {
            foreach (var entry in file.Entries.Values)
                writer.Add(entry.Name, SafetensorsDType.I32, entry.Shape.ToArray(), file.Bytes(entry).ToArray());
        }
        writer.Save(folder.File("model.safetensors"));
        Assert.Contains("must be F32, F16, BF16 or F64 (20, 8), but is I32 (20, 8)", Refusal());
    }

    [Fact]
    public void BuffersOfOldCheckpointsAndOtherHeadsAreIgnored()
    {
        Write(t =>
        {
            t["model.layers.0.self_attn.rotary_emb.inv_freq"] = ([2], new float[2]);
            t["score.weight"] = ([1, 8], new float[8]);
        });
        using var model = CausalLM.Load(folder.Path);
        Assert.Equal(20, model.Config.VocabSize);
    }

    [Fact]
    public void OriginalGpt2NamesWithoutPrefixAreRead()
    {
        Write(
            t =>
            {
                foreach (var name in t.Keys.ToArray())
                {
                    t[name["transformer.".Length..]] = t[name];
                    t.Remove(name);
                }
                t["h.0.attn.bias"] = ([1, 1, 16, 16], new float[256]);
            },
            ModelFamily.Gpt2);
        using var loaded = CausalLM.Load(folder.Path);
        using var fresh = CausalLM.Create(Config(ModelFamily.Gpt2), 1);
        foreach (var (a, b) in loaded.Parameters().Zip(fresh.Parameters()))
        {
            Assert.Equal(a.Path, b.Path);
            Assert.Equal(a.Value.ToArray(), b.Value.ToArray());
        }
    }

    [Fact]
    public void ShardsAndHalfPrecisionLoad()
    {
        using var model = CausalLM.Create(Config(ModelFamily.Gpt2), 3);
        model.Save(folder.Path, SafetensorsDType.F16, maxShardBytes: 1000);
        Assert.True(Directory.GetFiles(folder.Path, "model-*.safetensors").Length > 2);
        using var loaded = CausalLM.Load(folder.Path);
        foreach (var (a, b) in model.Parameters().Zip(loaded.Parameters()))
            Assert.Equal(a.Value.ToArray().Select(x => (float)(Half)x), b.Value.ToArray());
        Assert.Contains("\"torch_dtype\": \"float16\"", File.ReadAllText(folder.File("config.json")));
    }

    [Fact]
    public void MissingFoldersAndFilesAreNamed()
    {
        Assert.Equal($"{folder.File("no")}: the model folder does not exist",
            Assert.Throws<UserErrorException>(() => CausalLM.Load(folder.File("no"))).Message);
        Assert.Equal($"{folder.File("config.json")}: the file does not exist", Refusal());
        Config().Write(folder.Path);
        Assert.StartsWith($"{folder.Path}: must hold model.safetensors", Refusal());
        folder.Write("model.safetensors", "1234567890");
        Assert.StartsWith(folder.File("model.safetensors"), Refusal());
    }

    [Fact]
    public void FreshWeightsFollowTheSeedAndTheDeviation()
    {
        var config = Config() with { HiddenSize = 64, VocabSize = 500, InitializerRange = 0.05 };
        using var one = CausalLM.Create(config, 1);
        using var same = CausalLM.Create(config, 1);
        using var other = CausalLM.Create(config, 2);
        var values = one.Embedding.Weight.Value.ToArray();
        Assert.Equal(values, same.Embedding.Weight.Value.ToArray());
        Assert.NotEqual(values, other.Embedding.Weight.Value.ToArray());
        // 32,000 draws: the deviation of the estimate is 0.4 %.
        Assert.Equal(0.05, Math.Sqrt(values.Average(v => (double)v * v)), 0.001);
        Assert.All(one.Parameters(), p => Assert.False(p.Trainable));
    }

    [Fact]
    public void ModulePathsServeTargetResolution()
    {
        using var llama = CausalLM.Create(Config(), 1);
        using var gpt2 = CausalLM.Create(Config(ModelFamily.Gpt2), 1);
        var all = new LoraConfig { TargetModules = ModuleSelector.AllLinear };
        Assert.Equal(14, TargetModules.Resolve(all, llama.ModulePaths(), ModelFamily.Llama).Count);
        Assert.Equal(8, TargetModules.Resolve(all, gpt2.ModulePaths(), ModelFamily.Gpt2).Count);
        Assert.Contains(new ModulePath("lm_head", ModuleKind.OutputEmbedding), llama.ModulePaths());
        Assert.Contains(new ModulePath("transformer.h.1.mlp.c_proj", ModuleKind.Conv1D), gpt2.ModulePaths());
        Assert.Contains("there are: q_proj, k_proj, v_proj, o_proj, gate_proj, up_proj, down_proj, lm_head",
            Assert.Throws<UserErrorException>(() => TargetModules.Resolve(
                new LoraConfig { TargetModules = ModuleSelector.Of("c_attn") }, llama.ModulePaths(),
                    ModelFamily.Llama)).Message);
    }

    [Fact]
    public void TextsBeyondTheContextAreRefused()
    {
        using var model = CausalLM.Create(Config(), 1);
        using var scope = TensorScope.Begin();
        Assert.Contains("context of 16 tokens, but has 17",
            Assert.Throws<UserErrorException>(() => model.Forward(Tensor.From(new int[17], Shape.Of(1, 17)))).Message);
        using var cache = new KvCache(model.Config, 1, 40);
        model.Hidden(Tensor.From(new int[16], Shape.Of(1, 16)), cache, [16]);
        Assert.Throws<UserErrorException>(() => model.Hidden(Tensor.From([1], Shape.Of(1, 1)), cache, [1]));
    }
}
