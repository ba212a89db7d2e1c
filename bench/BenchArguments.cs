using System.Globalization;
using CudaLora.Kernels.Simd;

namespace CudaLora.Bench;

/// <summary>What the bench program was asked for.</summary>
/// <param name="Mode">gpu, process, readme, or empty for BenchmarkDotNet.</param>
/// <param name="Quick">Whether with <see cref="QuickConfig"/>.</param>
/// <param name="Rest">The arguments of the mode, or BenchmarkDotNet's own.</param>
internal sealed record BenchArguments(string Mode, bool Quick, string[] Rest)
{
    private const string QuickFlag = "--quick";
    private const string FullFlag = "--full";
    private const string ThreadsFlag = "--threads";

    // The processes that BenchmarkDotNet starts inherit them.
    private const string ThreadsVariable = "CUDALORA_THREADS";
    private const string FullVariable = "CUDALORA_BENCH_FULL";

    // What says by itself which benchmarks, or that none are to run.
    private static readonly string[] Choosing =
        ["--filter", "-f", "--list", "--help", "--version", "--info", "--anyCategories", "--allCategories"];

    /// <summary>Whether parameters take their whole grid.</summary>
    public static bool Full => Environment.GetEnvironmentVariable(FullVariable) == "1";

    /// <summary>Whether --full was given.</summary>
    public bool WholeGrid { get; init; }

    /// <summary>Threads of the CPU, or null for what CUDALORA_THREADS or the processor says.</summary>
    public int? Threads { get; init; }

    /// <summary>Reads a command line. --quick alone takes every class.</summary>
    /// <exception cref="ArgumentException">--threads has no number.</exception>
    public static BenchArguments Read(string[] args)
    {
        if (args is ["gpu" or "process" or "readme", ..])
            return new BenchArguments(args[0], false, args[1..]);
        var left = args.ToList();
        var (quick, full) = (left.Remove(QuickFlag), left.Remove(FullFlag));
        int? threads = null;
        if (left.IndexOf(ThreadsFlag) is var at and >= 0)
        {
            if (!int.TryParse(left.ElementAtOrDefault(at + 1), out var count) || count < 1)
                throw new ArgumentException($"{ThreadsFlag} must have a number above 0");
            threads = count;
            left.RemoveRange(at, 2);
        }
        if (quick && !left.Any(Choosing.Contains))
            left.InsertRange(0, ["--filter", "*"]);
        return new BenchArguments("", quick, [.. left]) { WholeGrid = full, Threads = threads };
    }

    /// <summary>Tells this process and those that it starts.</summary>
    public void Set()
    {
        if (WholeGrid)
            Environment.SetEnvironmentVariable(FullVariable, "1");
        if (Threads is not int threads)
            return;
        Environment.SetEnvironmentVariable(ThreadsVariable, threads.ToString(CultureInfo.InvariantCulture));
        Workers.Count = threads;
    }
}
