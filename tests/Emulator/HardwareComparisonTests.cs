using CudaLora.Kernels.Driver;
using CudaLora.Kernels.Emulator;
using CudaLora.Kernels.Runtime;

namespace CudaLora.Tests;

/// <summary>The comparison with a device, with the EmulatedDriver in the device's place.</summary>
public class HardwareComparisonTests
{
    private static readonly EmulatorOptions Device = new() { Checks = false, ExactTensorCores = true };

    private static PtxProgram Adds() => new PtxProgram(PtxText.Kernel(
        "ld.global.u32 %r1, [inAt]; add.u32 %r1, %r1, 5; st.global.u32 [outAt], %r1;", target: "sm_80"))
    {
        Block = 64,
        DynamicShared = 64 * 1024,
    }
        .Input(Enumerable.Range(0, 64).ToArray()).Output<int>(65);

    [Fact]
    public void EqualProgramsAreEqualByteForByte()
    {
        using var driver = new EmulatedDriver(Device);
        using CudaContext context = CudaContext.Open(driver);
        var comparison = new HardwareComparison(context);
        ComparisonRow row = comparison.Compare("adds", Adds());
        Assert.Equal(new ComparisonRow("adds", ComparisonOutcome.Equal, ""), row);
        Assert.Contains("| adds | equal |  |", comparison.Report(), StringComparison.Ordinal);
        Assert.Contains("1 programs: 1 equal, 0 different, 0 failed, 0 skipped.", comparison.Report(),
            StringComparison.Ordinal);
    }

    [Fact]
    public void ADifferenceNamesTheArgumentAndTheFirstWord()
    {
        byte[][] found = [[], [1, 0, 0, 0, 2, 0, 0, 0, 9, 9]], expected = [[], [1, 0, 0, 0, 3, 0, 0, 0, 9, 8]];
        Assert.Equal("", HardwareComparison.Differences(found, found));
        Assert.Equal(
            "argument 1: 2 of 3 words differ, word 1 is 0x00000002, the emulator has 0x00000003",
            HardwareComparison.Differences(found, expected));
    }

    [Fact]
    public void ADeviceThatAnswersOtherwiseIsReportedPerTest()
    {
        // Fast sums keep more bits than a tensor core: 2^24 + 1 + 1 + ... is another number.
        using var driver = new EmulatedDriver(new EmulatorOptions { Checks = false });
        using CudaContext context = CudaContext.Open(driver);
        var comparison = new HardwareComparison(context);
        const string body = """
                mov.b32 %r1, 0x3F803F80;
                mov.f32 %f0, 0f4C000000; mov.f32 %f1, %f0; mov.f32 %f2, %f0; mov.f32 %f3, 0f3F99999A;
                mov.b32 %r2, 0x3F813F83;
                mma.sync.aligned.m16n8k16.row.col.f32.bf16.bf16.f32 {%f0, %f1, %f2, %f3}, {%r1, %r2, %r1, %r2}, {%r2, %r1}, {%f0, %f1, %f2, %f3};
                st.global.f32 [outAt], %f0;
            """;
        ComparisonRow row = comparison.Compare("sums", new PtxProgram(PtxText.Kernel(body)).Input(0).Output<int>(32));
        Assert.Equal(ComparisonOutcome.Different, row.Outcome);
        Assert.StartsWith("argument 1: 32 of 32 words differ, word 0 is 0x", row.Detail, StringComparison.Ordinal);
        Assert.Contains("| sums | different | argument 1: 32 of", comparison.Report(), StringComparison.Ordinal);
    }

    [Fact]
    public void AFaultBreaksTheContextAndTheRestIsSkipped()
    {
        // A device that gives up where the emulator does not.
        using var driver = new EmulatedDriver(new EmulatorOptions { Checks = false, InstructionBudget = 1 });
        using CudaContext context = CudaContext.Open(driver);
        var comparison = new HardwareComparison(context);
        ComparisonRow row = comparison.Compare("ends", new PtxProgram(PtxText.Kernel(
            "mov.u32 %r1, 0; LOOP: add.u32 %r1, %r1, 1; setp.lt.u32 %p0, %r1, 100000; @%p0 bra LOOP;"))
            .Input(0).Input(0));
        Assert.Equal(ComparisonOutcome.Failed, row.Outcome);
        Assert.Contains("702 CUDA_ERROR_LAUNCH_TIMEOUT", row.Detail, StringComparison.Ordinal);
        Assert.Equal(new ComparisonRow("later", ComparisonOutcome.Skipped, "the context broke in ends"),
            comparison.Compare("later", Adds()));
    }
}
