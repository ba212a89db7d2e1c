using System.Diagnostics;
using System.Text.RegularExpressions;

namespace CudaLora.Tests.Kernels;

/// <summary>Runs the row kernels' tests once more in processes whose vector instructions are switched off.</summary>
public partial class HardwareOffTests
{
    private static readonly Type[] Classes =
    [
        typeof(VectorMathTests), typeof(FloatsTests), typeof(PhiloxTests), typeof(ElementwiseTests),
        typeof(ActivationTests), typeof(NormTests), typeof(RopeTests), typeof(ReductionTests), typeof(SoftmaxTests),
        typeof(CopyTests), typeof(CastTests), typeof(AdamWKernelTests), typeof(AdamW8BitKernelTests),
        typeof(Nf4Tests), typeof(QuantizedGemmTests), typeof(Ops.NotFiniteTests),
    ];

    [Theory]
    [InlineData("DOTNET_EnableHWIntrinsic")] // no vector hardware at all
    [InlineData("DOTNET_EnableAVX512")] // 256-bit registers
    [InlineData("DOTNET_EnableAVX2")] // 128-bit registers, no FMA
    public async Task RowKernels_AreRightWithout(string feature)
    {
        var start = new ProcessStartInfo(Environment.ProcessPath!)
        {
            RedirectStandardOutput = true,
            RedirectStandardError = true,
        };
        start.Environment[feature] = "0";
        foreach (var tests in Classes)
        {
            start.ArgumentList.Add("-class");
            start.ArgumentList.Add(tests.FullName!);
        }
        using var process = Process.Start(start)!;
        var errors = process.StandardError.ReadToEndAsync(TestContext.Current.CancellationToken);
        var output = await process.StandardOutput.ReadToEndAsync(TestContext.Current.CancellationToken);
        await process.WaitForExitAsync(TestContext.Current.CancellationToken);
        Assert.True(process.ExitCode == 0, output + await errors);
        Assert.True(int.Parse(Total().Match(output).Groups[1].Value) > 50, output);
    }

    [GeneratedRegex(@"Total: (\d+)")]
    private static partial Regex Total();
}
