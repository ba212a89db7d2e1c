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
