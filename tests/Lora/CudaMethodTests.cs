using CudaLora.Engine;
using CudaLora.Kernels.Driver;
using CudaLora.Kernels.Emulator;
using CudaLora.Lora;

namespace CudaLora.Tests.Lora;

/// <summary>
/// Every kind of adapter on the CUDA device: the losses of three steps in F32 are those of the CPU, as the same
/// products are added in another order; two updates of AdamW let them grow to about 1e-5.
/// </summary>
public class CudaMethodTests
{
    [Theory]
    [InlineData("dora")]
    [InlineData("lora_bias")]
    [InlineData("embeddings")]
    [InlineData("pissa")]
    [InlineData("adalora")]
    [InlineData("vera")]
    [InlineData("ia3")]
    [InlineData("prefix")]
    [InlineData("projection")]
    [InlineData("prompt")]
    [InlineData("p-tuning")]
    public void TheStepsAreThoseOfTheCpu(string method)
    {
        var expected = Train(method, new ModelPlacement());
        using var device = new CudaDevice(new EmulatedDriver(), ownsDriver: true);
        var actual = Train(method, new ModelPlacement { Device = device });
        for (var i = 0; i < expected.Length; i++)
            Assert.Equal(expected[i], actual[i], 5e-5);
        if (!DriverProbe.TryFindCuda(out var driver, out _))
            return;
        using var gpu = new CudaDevice(driver, ownsDriver: true);
        actual = Train(method, new ModelPlacement { Device = gpu });
        for (var i = 0; i < expected.Length; i++)
            Assert.Equal(expected[i], actual[i], 5e-5);
    }

    private static double[] Train(string method, ModelPlacement placement)
    {
        using var model = CausalLM.Load(Path.Combine(SharedData.Root, "tests", "Golden", "llama"), placement);
        var random = new Generator(1);
        using var adapter = Adapter(method, model, random);
        model.Training = true;
        var tuning = adapter is AdaLoraAdapter adaptive
            ? new AdaLoraFineTuning(adaptive)
            : new AdapterFineTuning(adapter, method);
        using var runner = new StepRunner(TrainerTests.Arguments("unused"), tuning, new Sft()) { TotalSteps = 3 };
        var data = new Batcher(TrainerTests.Examples(24), new BatcherOptions { BatchSize = 2, Seed = 3 });
        var losses = new double[3];
        for (var i = 0; i < losses.Length; i++)
            losses[i] = runner.Run(data, 1, 1).Loss;
        return losses;
    }

    private static ModelAdapter Adapter(string method, CausalLM model, Generator random)
    {
        var lora = new LoraConfig { R = 2, TargetModules = ModuleSelector.Of("q_proj", "down_proj") };
        VirtualTokenConfig Tokens(VirtualTokenKind kind) => new() { Kind = kind, Count = 3, EncoderHiddenSize = 6 };
        switch (method)
        {
            case "dora":
                return LoraAdapter.Create(model, lora with { UseDora = true, LoraDropout = 0.1 }, random);
            case "lora_bias":
                return LoraAdapter.Create(model, lora with { BiasOnB = true }, random);
            case "embeddings":
                return LoraAdapter.Create(
                    model, lora with { TargetModules = ModuleSelector.Of("embed_tokens") }, random);
            case "pissa":
                return LoraAdapter.Create(model, lora with { InitLoraWeights = LoraInit.Pissa }, random);
            case "adalora":
                return AdaLoraAdapter.Create(
                    model,
                    new AdaLoraConfig { Lora = lora, InitR = 3, TargetR = 2, TFinal = 1, TotalStep = 3 }, random);
            case "vera":
                return VeraAdapter.Create(model, new VeraConfig { R = 4 }, random);
            case "ia3":
                return Ia3Adapter.Create(model, new Ia3Config(), random);
            case "prefix" or "projection":
                return VirtualTokenAdapter.Create(
                    model, Tokens(VirtualTokenKind.Prefix) with { PrefixProjection = method == "projection" }, random);
            case "prompt":
                return VirtualTokenAdapter.Create(model, Tokens(VirtualTokenKind.Prompt), random);
            default:
                return VirtualTokenAdapter.Create(model, Tokens(VirtualTokenKind.PTuning), random);
        }
    }
}
