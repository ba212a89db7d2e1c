using System.Globalization;
using System.Text.RegularExpressions;

namespace CudaLora.Kernels.Driver;

/// <summary>What one entry costs, as ptxas or the driver's JIT compiler reports it; sizes in bytes.</summary>
/// <param name="Entry">Entry name.</param>
/// <param name="Target">For example sm_80.</param>
/// <param name="Registers">32-bit registers per thread.</param>
/// <param name="SharedBytes">Static shared memory per block.</param>
/// <param name="StackBytes">Local memory per thread.</param>
/// <param name="SpillBytes">Bytes spilled and reloaded per thread.</param>
/// <param name="Barriers">Named barriers.</param>
public sealed record EntryCost(
    string Entry, string Target, int Registers, int SharedBytes, int StackBytes, int SpillBytes, int Barriers);

/// <summary>The verbose output of ptxas, which is also what the driver writes into its JIT log.</summary>
public sealed partial record AssemblerLog(IReadOnlyList<EntryCost> Entries, IReadOnlyList<string> Warnings)
{
    /// <summary>Reads the log; lines it does not know are passed over.</summary>
    public static AssemblerLog Parse(string log)
    {
        ArgumentNullException.ThrowIfNull(log);
        var entries = new List<EntryCost>();
        var warnings = new List<string>();
        EntryCost? current = null;
        foreach (string line in log.Split('\n', StringSplitOptions.TrimEntries | StringSplitOptions.RemoveEmptyEntries))
        {
            if (EntryLine().Match(line) is { Success: true } entry)
            {
                current = new EntryCost(entry.Groups[1].Value, entry.Groups[2].Value, 0, 0, 0, 0, 0);
            }
            else if (line.Contains("warning", StringComparison.OrdinalIgnoreCase) || WarningCode().IsMatch(line))
            {
                warnings.Add(line);
            }
            else if (current is not null && line.Contains("bytes stack frame", StringComparison.Ordinal))
            {
                current = current with
                {
                    StackBytes = Number(Stack(), line),
                    SpillBytes = Number(SpillStores(), line) + Number(SpillLoads(), line),
                };
            }
            else if (current is not null && Registers().IsMatch(line))
            {
                entries.Add(current with
                {
                    Registers = Number(Registers(), line),
                    SharedBytes = Number(Shared(), line),
                    Barriers = Number(Barriers(), line),
                });
                current = null;
            }
        }
        return new AssemblerLog(entries, warnings);
    }

    private static int Number(Regex pattern, string line) => pattern.Match(line) is { Success: true } match
        ? int.Parse(match.Groups[1].ValueSpan, CultureInfo.InvariantCulture)
        : 0;

    [GeneratedRegex(@"Compiling entry function '([^']+)' for '([^']+)'")]
    private static partial Regex EntryLine();

    // C7510 and its kin: wgmma serialized, and the like.
    [GeneratedRegex(@"\(C\d{4}\)")]
    private static partial Regex WarningCode();

    [GeneratedRegex(@"(\d+) bytes stack frame")]
    private static partial Regex Stack();

    [GeneratedRegex(@"(\d+) bytes spill stores")]
    private static partial Regex SpillStores();

    [GeneratedRegex(@"(\d+) bytes spill loads")]
    private static partial Regex SpillLoads();

    [GeneratedRegex(@"Used (\d+) registers")]
    private static partial Regex Registers();

    [GeneratedRegex(@"(\d+) bytes smem")]
    private static partial Regex Shared();

    [GeneratedRegex(@"used (\d+) barriers")]
    private static partial Regex Barriers();
}
