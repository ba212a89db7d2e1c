using CudaLora.Kernels.Emulator;
using CudaLora.Kernels.Ops;
using CudaLora.Kernels.Runtime;

namespace CudaLora.Tests;

/// <summary>The LoRA kernels on aligned and odd shapes besides their labs' own, every check of the emulator on.</summary>
public class LoraKernelTests
{
    [Theory]
    // In units of 16 bytes, several parts of columns, several chunks of rows.
    [InlineData("lora_thin_bf16", 130, 1040, 16)]
    [InlineData("lora_thin_bf16", 33, 64, 1)]
    [InlineData("lora_thin_bf16", 16, 7, 3)]
    [InlineData("lora_thin_bf16", 5, 520, 64)]
    [InlineData("lora_thin_f32", 130, 513, 16)]
    [InlineData("lora_thin_f32", 33, 64, 1)]
    [InlineData("lora_thin_f32", 1, 5, 33)]
    [InlineData("lora_decode_down_bf16", 1, 64, 16)]
    [InlineData("lora_decode_down_bf16", 16, 27, 4)]
    [InlineData("lora_decode_up_bf16", 1, 2056, 33, 16)]
    [InlineData("lora_decode_up_bf16", 16, 512, 16, 4)]
    [InlineData("lora_decode_up_bf16", 7, 301, 5, 1)]
    [InlineData("lora_pack_bf16", 512, 64, 16)]
    [InlineData("lora_pad_bf16", 3, 4096)]
    [InlineData("lora_pad_bf16", 2, 2053)]
    public void AgreesWithItsOracle(string entry, params int[] shape)
    {
        using var driver = new EmulatedDriver();
        using CudaContext context = CudaContext.Open(driver);
        LabRun run = KernelLab.All.Single(lab => lab.Entry == entry).Run(context, shape, seed: 3);
        Assert.True(run.Agrees, $"{entry}: error {run.Error} above {run.Tolerance}");
    }
}
