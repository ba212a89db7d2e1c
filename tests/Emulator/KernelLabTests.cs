using CudaLora.Kernels.Driver;
using CudaLora.Kernels.Emulator;
using CudaLora.Kernels.Ops;
using CudaLora.Kernels.Runtime;

namespace CudaLora.Tests;

/// <summary>Every PTX entry on the emulator with every check on, against its double-precision oracle.</summary>
public class KernelLabTests
{
    public static TheoryData<string> Entries => [.. KernelLab.All.Select(lab => lab.Entry)];

    [Theory]
    [MemberData(nameof(Entries))]
    public void AgreesWithItsOracleAndHasNoFault(string entry)
    {
        KernelLab lab = KernelLab.All.Single(candidate => candidate.Entry == entry);
        // Asynchronous work as late as allowed, at once, and in between; warps in another order each time.
        foreach ((AsyncSchedule schedule, ulong seed) in new[]
        {
            (AsyncSchedule.Lazy, 1UL), (AsyncSchedule.Eager, 2UL), (AsyncSchedule.Random, 3UL),
        })
        {
            using var driver = new EmulatedDriver(new EmulatorOptions { Schedule = schedule, Seed = seed });
            using CudaContext context = CudaContext.Open(driver);
            LabRun run = lab.Run(context, lab.DefaultShape, seed: 7);
            Assert.True(run.Agrees, $"{entry}, {schedule}: error {run.Error} above {run.Tolerance}");
        }
    }

    // A kernel that asks for more than its least bytes, or has bank conflicts, says why in the report.
    [Fact]
    public void MoreThanTheLeastTrafficIsExplained()
    {
        foreach (KernelLab lab in KernelLab.All)
        {
            LaunchReport? report = null;
            using var driver = new EmulatedDriver(new EmulatorOptions { Checks = false })
            {
                Launched = launched => report = launched,
            };
            using CudaContext context = CudaContext.Open(driver);
            LabRun run = lab.Run(context, lab.DefaultShape);
            Counters counters = report!.Counters;
            double ratio = (double)(counters.GlobalReadBytes + counters.GlobalWriteBytes) / run.MinimumBytes;
            Assert.True(
                (ratio <= 1.05 && counters.BankConflicts == 0) || lab.Note is { Length: > 0 },
                $"{lab.Entry} moves {ratio:f2} times the least and has {counters.BankConflicts} conflicts: no note");
        }
    }

    [Fact]
    public void AnotherSeedChangesNoBit()
    {
        Assert.Equal(Bits(1), Bits(12345));

        static float[] Bits(ulong seed)
        {
            using var driver = new EmulatedDriver(new EmulatorOptions { Seed = seed });
            using CudaContext context = CudaContext.Open(driver);
            var inputs = new LabInputs(context, 3);
            using DeviceBuffer<float> x = inputs.Device(inputs.Values(4 * 512)), w = inputs.Device(inputs.Values(512));
            using DeviceBuffer<float> y = inputs.Empty<float>(4 * 512), rstd = inputs.Empty<float>(4);
            RmsNorm.Forward(
                context.Stream, new(x.Pointer.Address, w.Pointer, y.Pointer.Address, rstd.Pointer, 4, 512, 1e-5f),
                bf16: false);
            return [.. y.ToArray(), .. rstd.ToArray()];
        }
    }

    [Fact]
    public void TheTransposePairDiffersInBankConflictsAlone()
    {
        Counters conflicts = Count("transpose_conflicts_f32"), padded = Count("transpose_padded_f32");
        Assert.Equal(0, padded.BankConflicts);
        // 2 x 2 tiles of 32 column reads, each in 32 passes instead of one.
        Assert.Equal(4 * 32 * 31, conflicts.BankConflicts);
        Assert.Equal(padded.GlobalSectors, conflicts.GlobalSectors);
        Assert.Equal(padded.SharedAccesses, conflicts.SharedAccesses);

        static Counters Count(string entry)
        {
            Counters counters = default;
            using var driver = new EmulatedDriver { Launched = report => counters = report.Counters };
            using CudaContext context = CudaContext.Open(driver);
            KernelLab.All.Single(lab => lab.Entry == entry).Run(context, [64, 64]);
            return counters;
        }
    }

    [Fact]
    public void VectorAddMovesTheMinimumInFullSectors()
    {
        Counters counters = default;
        using var driver = new EmulatedDriver { Launched = report => counters = report.Counters };
        using CudaContext context = CudaContext.Open(driver);
        LabRun run = KernelLab.All.Single(lab => lab.Entry == "vector_add_f32").Run(context, [4096]);
        Assert.Equal(run.MinimumBytes, counters.GlobalReadBytes + counters.GlobalWriteBytes);
        Assert.Equal(run.MinimumBytes / 32, counters.GlobalSectors);
        Assert.Equal(4096, counters.ScalarFlops);
    }

    [Fact]
    public void AWrongShapeIsOneClearLine()
    {
        using var driver = new EmulatedDriver();
        using CudaContext context = CudaContext.Open(driver);
        KernelLab lab = KernelLab.All.Single(candidate => candidate.Entry == "rms_norm_forward_bf16");
        var rank = Assert.Throws<ArgumentException>(() => lab.Run(context, [3]));
        Assert.Equal(
            "[rms_norm_forward_bf16] a shape must be 2 positive numbers (rows, cols), but got (3)", rank.Message);
    }
}
