using System.Diagnostics;
using CudaLora.Kernels.Simd;

namespace CudaLora.Tests.Kernels;

/// <summary>
/// Starts this test program again with instruction sets switched off, so that the choice of the path and the code that
/// the compiler makes for lesser processors are tested on any machine.
/// </summary>
public sealed class HardwareSwitchTests
{
    private const string Expected = "CUDALORA_TEST_WIDEST_PATH";

    [Theory]
    [InlineData("DOTNET_EnableAVX512", SimdPath.Vector256)]
    [InlineData("DOTNET_EnableAVX2", SimdPath.Vector128)]
    [InlineData("DOTNET_EnableHWIntrinsic", SimdPath.Scalar)]
    public void KernelsAreRightWithLessHardware(string variable, SimdPath widest)
    {
        string? program = Environment.ProcessPath;
        Assert.SkipUnless(
            program is not null && Path.GetFileName(program) is "CudaLora.Tests" or "CudaLora.Tests.exe",
            "the tests do not run as a program of their own");
        string name = typeof(HardwareSwitchTests).FullName!;
        var start = new ProcessStartInfo(program!)
        {
            RedirectStandardOutput = true,
            RedirectStandardError = true,
            ArgumentList = { "-noLogo", "-noColor", "-method", $"{name}.{nameof(TheBestPathIsRight)}" },
            Environment = { [variable] = "0", [Expected] = widest.ToString() },
        };
        using Process child = Process.Start(start)!;
        string output = child.StandardOutput.ReadToEnd() + child.StandardError.ReadToEnd();
        child.WaitForExit();
        Assert.True(child.ExitCode == 0 && output.Contains("Total: 1,", StringComparison.Ordinal), output);
    }

    [Fact]
    public void TheBestPathIsRight()
    {
        if (Environment.GetEnvironmentVariable(Expected) is { } text)
            Assert.True(SimdSupport.Best <= Enum.Parse<SimdPath>(text), $"chose {SimdSupport.Best}, not {text}");
        GemmTests.VerifySome(SimdSupport.Best);
        AttentionTests.VerifySome(SimdSupport.Best);
    }
}
