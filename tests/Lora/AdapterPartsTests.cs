using System.Text.Json;
using CudaLora.Engine;
using CudaLora.Kernels.Emulator;
using CudaLora.Lora;

namespace CudaLora.Tests.Lora;

/// <summary>
/// What every adapter with a part per layer shares: whole layers (<c>modules_to_save</c>), biases of the base, and that
/// one refused half way leaves nothing behind.
/// </summary>
public sealed class AdapterPartsTests : IDisposable
{
    private readonly TemporaryFolder folder = new();

    public void Dispose() => folder.Dispose();

    private static AdaLoraConfig AdaLora(LoraConfig lora) =>
        new() { Lora = lora, InitR = 3, TargetR = 2, TInit = 1, TFinal = 2, TotalStep = 8 };

    private static ModelAdapter Create(string method, CausalLM model, params string[] whole)
    {
        var (targets, random) = (new AdapterTargets { ModulesToSave = whole }, new Generator(5));
        return method switch
        {
            "lora" => LoraAdapter.Create(model, new LoraConfig { ModulesToSave = whole }, random),
            "adalora" => AdaLoraAdapter.Create(model, AdaLora(new LoraConfig { ModulesToSave = whole }), random),
            "vera" => VeraAdapter.Create(model, new VeraConfig { R = 3, Targets = targets }, random),
            _ => Ia3Adapter.Create(model, new Ia3Config { Targets = targets }, random),
        };
    }

    [Theory]
    [InlineData("lora")]
    [InlineData("adalora")]
    [InlineData("vera")]
    [InlineData("ia3")]
    public void AWholeLayerTrainsIsSavedAndMerges(string method)
    {
        using var model = TinyModel.Create();
        var before = TinyModel.Logits(model);
        using var adapter = Create(method, model, "lm_head");
        // The copy begins as the base.
        Assert.Equal(before, TinyModel.Logits(model));
        var head = Assert.Single(adapter.TrainableParameters(), p => p.Path.Value == "lm_head.weight");
        Assert.True(head.Trainable);
        Assert.NotSame(model.Head.Weight, head);
        Randomize(adapter);
        adapter.Save(folder.Path);
        using (var file = SafetensorsFile.Open(folder.File("adapter_model.safetensors")))
        {
            // PEFT's key for it, without an infix.
            Assert.Equal(
                head.Value.ToArray(), file.Span<float>(file.Entry("base_model.model.lm_head.weight")).ToArray());
        }
        using var json = JsonDocument.Parse(File.ReadAllText(folder.File(LoraConfig.FileName)));
        Assert.Equal(
            "lm_head", Assert.Single(json.RootElement.GetProperty("modules_to_save").EnumerateArray()).GetString());
        AssertHeld(model, adapter, before);
    }

    [Theory]
    [InlineData(LoraBias.All)]
    [InlineData(LoraBias.LoraOnly)]
    public void AdaLoraTrainsBiasesAsLoraDoes(LoraBias bias)
    {
        using var model = TinyModel.Create(ModelFamily.Qwen2);
        var before = TinyModel.Logits(model);
        var config = new LoraConfig { Bias = bias, TargetModules = ModuleSelector.Of("q_proj") };
        using var adapter = AdaLoraAdapter.Create(model, AdaLora(config), new Generator(5));
        Randomize(adapter);
        adapter.Mask([[true, false, true], [false, true, false]]);
        adapter.Save(folder.Path);
        using (var file = SafetensorsFile.Open(folder.File("adapter_model.safetensors")))
        {
            var names = file.Entries.Keys.Where(key => key.EndsWith(".bias", StringComparison.Ordinal)).ToArray();
            // Two blocks; q has an adapter and with it a base layer, k and v have none.
            Assert.Equal(2, names.Count(name => name.EndsWith("q_proj.base_layer.bias", StringComparison.Ordinal)));
            Assert.Equal(bias == LoraBias.All ? 6 : 2, names.Length);
        }
        AssertHeld(model, adapter, before);
    }

    [Fact]
    public void AdaLoraWithAWholeLayerTrains()
    {
        using var model = TinyModel.Create();
        using var adapter = (AdaLoraAdapter)Create("adalora", model, "lm_head");
        var head = model.Head.Weight.Value.ToArray();
        var (start, end) = MethodRuns.Train(new AdaLoraFineTuning(adapter), folder.Path);
        Assert.True(end < start - 0.1, $"{start} to {end}");
        Assert.Equal(head, model.Head.Weight.Value.ToArray());
    }

    [Fact]
    public void BiasesThatAMethodDoesNotTrainAreRefusedInFiles()
    {
        using var model = TinyModel.Create();
        using (var adapter = Create("ia3", model))
            adapter.Save(folder.Path);
        var path = folder.File(LoraConfig.FileName);
        File.WriteAllText(path, "{ \"bias\": \"all\"," + File.ReadAllText(path).TrimStart()[1..]);
        var error = Assert.Throws<UserErrorException>(() => AdapterFolder.Load(model, folder.Path));
        Assert.Contains(path, error.Message, StringComparison.Ordinal);
        Assert.Contains("'bias' must be none", error.Message, StringComparison.Ordinal);
    }

    /// <summary>What is refused after some layers were made, and the word that the refusal has.</summary>
    public static TheoryData<string, string> HalfWay { get; } = new()
    {
        { "pissa", "r of at most 4" },
        { "orthogonal", "an even r" },
        { "lora norm", "model.norm" },
        { "adalora norm", "model.norm" },
        { "vera norm", "model.norm" },
        { "ia3 norm", "model.norm" },
        { "file", "must have shape" },
    };

    [Theory]
    [MemberData(nameof(HalfWay))]
    public void ARefusedAdapterLeavesNothingBehind(string what, string expected)
    {
        // A device of its own: other tests use the shared one meanwhile.
        using var device = new CudaDevice(new EmulatedDriver(), ownsDriver: true);
        using var model = TinyModel.Create(ModelFamily.Qwen2, placement: ModelPlacement.On(device));
        model.SetTrainable(true);
        if (what == "file")
        {
            using var wide = TinyModel.Create(ModelFamily.Qwen2, hidden: 16);
            using var other = LoraAdapter.Create(wide, new LoraConfig { Bias = LoraBias.All }, new Generator(5));
            other.Save(folder.Path);
        }
        var trained = new LoraConfig { Bias = LoraBias.All };
        using var active = LoraAdapter.Create(model, trained, new Generator(6), "active");
        foreach (var parameter in active.TrainableParameters())
            parameter.Value.CopyFrom([.. Enumerable.Repeat(0.5f, (int)parameter.Value.Count)]);
        model.SetTrainable(true);
        var (inUse, values) = (device.Memory.InUse, Values());
        var slots = model.Linears().Select(linear => linear.Adapter).ToArray();
        var error = Assert.Throws<UserErrorException>(() => Refused(what, model));
        Assert.Contains(expected, error.Message, StringComparison.Ordinal);
        Assert.Equal(inUse, device.Memory.InUse);
        Assert.True(active.IsActive);
        Assert.All(model.Parameters(), p => Assert.True(p.Trainable));
        Assert.Equal(values, Values());
        Assert.Equal(slots, model.Linears().Select(linear => linear.Adapter));

        float[][] Values() => [.. model.Parameters().Select(p => p.Value.ToArray())];
    }

    private IDisposable Refused(string what, CausalLM model)
    {
        // q is (8, 8), k (4, 8).
        var targets = new LoraConfig { R = 6, TargetModules = ModuleSelector.Of("q_proj", "k_proj") };
        return what switch
        {
            "pissa" => LoraAdapter.Create(model, targets with { InitLoraWeights = LoraInit.Pissa }, new Generator(5)),
            "orthogonal" => LoraAdapter.Create(
                model,
                targets with
                {
                    InitLoraWeights = LoraInit.Orthogonal,
                    RankPattern = [KeyValuePair.Create("k_proj", 3)],
                },
                new Generator(5)),
            "file" => AdapterFolder.Load(model, folder.Path),
            _ => Create(what.Split(' ')[0], model, "lm_head", "norm"),
        };
    }

    private void AssertHeld(CausalLM model, ModelAdapter adapter, float[] plain)
    {
        var logits = TinyModel.Logits(model);
        Assert.NotEqual(plain, logits);
        adapter.Deactivate();
        Assert.Equal(plain, TinyModel.Logits(model));
        using var loaded = AdapterFolder.Load(model, folder.Path);
        Assert.Empty(loaded.IgnoredTensors);
        Assert.Equal(logits, TinyModel.Logits(model));
        loaded.Merge();
        var merged = TinyModel.Logits(model);
        for (var i = 0; i < logits.Length; i++)
            Assert.Equal(logits[i], merged[i], 5e-5); // sums in another order
        loaded.Unmerge();
        loaded.Deactivate();
        // LoRA is subtracted again, in F32.
        var back = TinyModel.Logits(model);
        for (var i = 0; i < plain.Length; i++)
            Assert.Equal(plain[i], back[i], adapter is LoraAdapter ? 1e-5 : 0);
    }

    private static void Randomize(ModelAdapter adapter)
    {
        var random = new Generator(9);
        foreach (var parameter in adapter.TrainableParameters())
            RandomParameters.Fill(parameter.Value, Initializer.Normal(0.4f), random);
    }
}
