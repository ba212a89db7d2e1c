using CudaLora.Cli;

namespace CudaLora.Bench;

/// <summary>The processor's ceilings, measured in this process when the first table is made.</summary>
internal static class Ceilings
{
    private static readonly Lazy<BenchCeiling> Once = new(() =>
        new BenchRun(new Terminal(TextWriter.Null, TextWriter.Null), BenchBudget.Quick, default)
            .Measure([KernelCases.Peak(1), KernelCases.Copy(1)]).Ceiling);

    public static BenchCeiling Measured => Once.Value;
}
