namespace CudaLora.Bench;

/// <summary>What the bench program was asked for.</summary>
/// <param name="Mode">gpu, process, readme, or empty for BenchmarkDotNet.</param>
/// <param name="Quick">Whether with <see cref="QuickConfig"/>.</param>
/// <param name="Rest">The arguments of the mode, or BenchmarkDotNet's own.</param>
internal sealed record BenchArguments(string Mode, bool Quick, string[] Rest)
{
    private const string QuickFlag = "--quick";

    // What says by itself which benchmarks, or that none are to run.
    private static readonly string[] Choosing =
        ["--filter", "-f", "--list", "--help", "--version", "--info", "--anyCategories", "--allCategories"];

    /// <summary>Reads a command line. --quick alone takes every op class.</summary>
    public static BenchArguments Read(string[] args)
    {
        if (args is ["gpu" or "process" or "readme", ..])
            return new BenchArguments(args[0], false, args[1..]);
        var quick = args.Contains(QuickFlag);
        string[] rest = [.. args.Where(arg => arg != QuickFlag)];
        return new BenchArguments(
            "", quick, quick && !rest.Any(Choosing.Contains) ? ["--filter", "CudaLora.Bench.Ops.*", .. rest] : rest);
    }
}
