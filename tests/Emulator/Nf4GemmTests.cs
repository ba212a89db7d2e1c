using CudaLora.Kernels.Driver;
using CudaLora.Kernels.Emulator;
using CudaLora.Kernels.Ops;
using CudaLora.Kernels.Runtime;

namespace CudaLora.Tests;

/// <summary>Products with 4-bit codes at edges of tiles, steps and parts, and where vectors cannot be read.</summary>
public class Nf4GemmTests
{
    [Theory]
    [InlineData("nf4_gemm_nt_bf16", 1, 32, 1, 1, 0)]
    [InlineData("nf4_gemm_nt_bf16", 33, 96, 130, 8, 0)] // Half a step, one row of a second tile.
    [InlineData("nf4_gemm_nt_bf16", 65, 64, 128, 72, 0)] // One token of a second tile, two steps of ranks.
    [InlineData("nf4_gemm_nt_bf16", 17, 1600, 40, 3, 0)] // Three parts.
    [InlineData("nf4_gemm_nt_bf16", 19, 45, 13, 5, 0)] // Rows that start within a byte.
    [InlineData("nf4_gemm_nt_bf16", 18, 1056, 6, 2, 1)] // Unaligned addresses, two parts.
    [InlineData("nf4_gemm_nn_bf16", 1, 32, 1, 1, 0)]
    [InlineData("nf4_gemm_nn_bf16", 33, 160, 97, 8, 0)]
    [InlineData("nf4_gemm_nn_bf16", 65, 128, 64, 72, 0)]
    [InlineData("nf4_gemm_nn_bf16", 17, 64, 1601, 3, 0)]
    [InlineData("nf4_gemm_nn_bf16", 19, 45, 13, 5, 0)]
    [InlineData("nf4_gemm_nn_bf16", 18, 32, 1030, 2, 1)]
    public void EveryShape_AgreesWithTheOracle(string entry, int tokens, int width, int outputs, int ranks, int shift)
    {
        KernelLab lab = KernelLab.All.Single(candidate => candidate.Entry == entry);
        using var driver = new EmulatedDriver();
        using CudaContext context = CudaContext.Open(driver);
        LabRun run = lab.Run(context, [tokens, width, outputs, ranks], shift: shift);
        Assert.True(run.Agrees, $"error {run.Error} above {run.Tolerance}");
    }

    [Theory]
    [InlineData(64, 4096, 4096, 8, 512)]
    [InlineData(17, 40, 1600, 3, 576)] // Whole steps of 64.
    [InlineData(256, 14336, 4096, 1, 4096)]
    [InlineData(64, 128, 33, 1, 64)]
    public void TheSumIsDividedByShapeAlone(int tokens, int columns, int depth, int parts, int perPart) =>
        Assert.Equal(new Nf4Gemm.Division(parts, perPart), Nf4Gemm.Divide(tokens, columns, depth));
}
