using CudaLora.Kernels.Emulator;
using CudaLora.Kernels.Ops;
using CudaLora.Kernels.Runtime;

namespace CudaLora.Tests;

/// <summary>
/// The kernels over rows at every width and alignment: one warp a row or many, vectors, single elements or both, rows
/// kept in shared memory or read twice.
/// </summary>
public class RowKernelTests
{
    private static readonly (int[] Shape, int Shift)[] Cases =
    [
        ([1, 1], 0), ([11, 7], 0), ([9, 64], 0), ([3, 130], 1), ([17, 512], 0), ([2, 1024], 3), ([2, 1031], 0),
        ([1, 40_000], 0),
    ];

    public static TheoryData<string> Entries => [.. KernelLab.All.OfType<RowLab>().Select(lab => lab.Entry)];

    [Theory]
    [MemberData(nameof(Entries))]
    public void AnyWidthAndAlignment(string entry)
    {
        KernelLab lab = KernelLab.All.Single(candidate => candidate.Entry == entry);
        using var driver = new EmulatedDriver();
        using CudaContext context = CudaContext.Open(driver);
        foreach ((int[] shape, int shift) in Cases)
        {
            LabRun run = lab.Run(context, shape, seed: 5, shift);
            Assert.True(run.Agrees, $"{entry} {string.Join(" x ", shape)}, shift {shift}: error {run.Error}");
        }
    }

    [Theory]
    [InlineData("rope_f32")]
    [InlineData("rope_bf16")]
    public void RopeTakesAnyHeads(string entry)
    {
        KernelLab lab = KernelLab.All.Single(candidate => candidate.Entry == entry);
        using var driver = new EmulatedDriver();
        using CudaContext context = CudaContext.Open(driver);
        foreach ((int[] shape, int shift) in new[]
        {
            (new[] { 1, 1, 1, 2 }, 0), ([3, 9, 3, 128], 0), ([2, 40, 8, 64], 1), ([2, 3, 1, 18], 0),
            ([4, 1, 1, 600], 0),
        })
        {
            LabRun run = lab.Run(context, shape, seed: 5, shift);
            Assert.True(run.Agrees, $"{entry} {string.Join(" x ", shape)}, shift {shift}: error {run.Error}");
        }
    }
}
