using CudaLora.Engine;
using CudaLora.Kernels.Driver;
using CudaLora.Kernels.Emulator;
using CudaLora.Lora;

namespace CudaLora.Tests.Lora;

/// <summary>Generation with the key/value cache on the CUDA device against that of the CPU.</summary>
public class CudaGenerationTests
{
    private static readonly int[][] Prompts = [[5, 17, 3, 40, 8, 21], [9, 2], [30, 31, 32]];

    public static TheoryData<string> Devices =>
        DriverProbe.TryFindCuda(out _, out _) ? ["emulator", "cuda"] : ["emulator"];

    // The most likely tokens of a random model are far enough apart for the rounding of F32.
    [Theory]
    [MemberData(nameof(Devices))]
    public void GreedyTokensInF32AreThoseOfTheCpu(string name)
    {
        using var device = Open(name);
        var expected = Generate(new ModelPlacement());
        Assert.NotEmpty(expected);
        Assert.Equal(expected, Generate(new ModelPlacement { Device = device }));
    }

    [Theory]
    [MemberData(nameof(Devices))]
    public void GreedyTokensInBf16AreThoseOfOneRowAtATime(string name)
    {
        using var device = Open(name);
        var placement = ModelPlacement.On(device);
        Assert.Equal(Prompts.SelectMany(prompt => Generate(placement, prompt)), Generate(placement));
    }

    // More tokens than a span of keys: the graph of the first is replayed, the second gets its own.
    [Theory]
    [MemberData(nameof(Devices))]
    public void ADecodeStepIsCapturedPerSpanOfKeys(string name)
    {
        using var device = Open(name);
        var placement = new ModelPlacement { Device = device };
        using var model = TinyModel.Create(seed: 3, placement: placement);
        using var noGrad = GradMode.NoGrad();
        using var cache = new KvCache(model.Config, 1, 16, placement);
        using var plain = new KvCache(model.Config, 1, 16, placement);
        using var sampler = new CudaSampler(device, new SamplingRule(0, 0, 1, 1), 1, model.Config.VocabSize);
        using var decode = new DecodeStep(model, device, cache, sampler, span: 6);
        foreach (var id in (int[])[3, 1, 4, 1, 5, 9, 2, 6, 5, 3, 5, 8])
        {
            var drawn = decode.Run([id], [1], 0)[0];
            using var scope = TensorScope.Begin();
            var hidden = model.Hidden(Tensor.From([id], Shape.Of(1, 1), device), plain, [1]);
            sampler.Queue(model.Logits(hidden.Reshape(Shape.Of(1, hidden.Shape[2]))));
            Assert.Equal(sampler.Read()[0], drawn);
        }
        Assert.Equal(2, decode.GraphCount);
    }

    private static CudaDevice Open(string name) => name == "emulator"
        ? new CudaDevice(new EmulatedDriver(), ownsDriver: true)
        : DriverProbe.TryFindCuda(out var driver, out var reason)
            ? new CudaDevice(driver, ownsDriver: true)
            : throw new InvalidOperationException(reason);

    private static int[] Generate(ModelPlacement placement, params int[][] prompts)
    {
        using var model = CausalLM.Load(Path.Combine(SharedData.Root, "tests", "Golden", "llama"), placement);
        var rows = model.Generate(
            prompts.Length > 0 ? prompts : Prompts, new SamplingOptions { Temperature = 0, MaxNewTokens = 6 });
        return [.. rows.SelectMany(row => row.Tokens)];
    }
}
