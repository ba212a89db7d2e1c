using System.Globalization;
using System.Text;
using CudaLora.Kernels.Driver;
using CudaLora.Kernels.Emulator;
using CudaLora.Kernels.Ptx;
using CudaLora.Kernels.Runtime;

namespace CudaLora.Tests;

/// <summary>
/// Runs the emulator tests' PTX programs on a device too and compares every byte. CUDALORA_TEST_DEVICE chooses:
/// <c>auto</c> (default) is the CUDA device if there is one, <c>cuda</c> demands one, <c>emulator</c> goes the same way
/// through the EmulatedDriver, <c>none</c> switches it off. When the process ends, what was found is written to
/// artifacts/comparison.md, or where CUDALORA_COMPARISON says.
/// </summary>
internal sealed class HardwareComparison(CudaContext context)
{
    private static readonly Lazy<HardwareComparison?> OfProcess = new(Open);
    private readonly Lock _lock = new();
    private readonly List<ComparisonRow> _rows = [];
    private string? _broken;

    public IReadOnlyList<ComparisonRow> Rows => _rows;

    /// <summary>Compares on the process's device, if any, for the running test; fails on a difference.</summary>
    public static void Check(PtxProgram program, bool mayDiffer = false)
    {
        if (OfProcess.Value is not { } comparison) return;
        ComparisonRow row = comparison.Compare(TestContext.Current.Test?.TestDisplayName ?? program.Entry, program);
        bool good = row.Outcome is ComparisonOutcome.Equal or ComparisonOutcome.Skipped
            || (mayDiffer && row.Outcome == ComparisonOutcome.Different);
        Assert.True(good, $"on {comparison.Device}: {row.Detail}");
    }

    public string Device => $"{context.Properties.Name} ({context.Driver.Name})";

    /// <summary>Runs a program on the device and on the emulator and adds what came out.</summary>
    public ComparisonRow Compare(string test, PtxProgram program)
    {
        lock (_lock)
        {
            ComparisonRow row = Row(test, program);
            _rows.Add(row);
            return row;
        }
    }

    private ComparisonRow Row(string test, PtxProgram program)
    {
        PtxModule module = PtxModule.Parse(program.Text, "test.ptx");
        int have = context.Properties.Capability;
        bool exactly = module.Target.EndsWith('a');
        if (exactly ? have != module.TargetNumber : have < module.TargetNumber)
            return new ComparisonRow(test, ComparisonOutcome.Skipped,
                $"needs {module.Target}, the device is sm_{have}");
        if (_broken is not null) return new ComparisonRow(test, ComparisonOutcome.Skipped, _broken);
        // Unwritten memory reads as zero without checks, as the device's is cleared.
        byte[][] expected = program.Run(new EmulatorOptions
        {
            Checks = false,
            Schedule = AsyncSchedule.Eager,
            ExactTensorCores = true,
        }).Succeeded().Bytes;
        try
        {
            context.MakeCurrent();
            byte[][] found = program.Run(context);
            string differences = Differences(found, expected);
            return differences.Length == 0 ? new ComparisonRow(test, ComparisonOutcome.Equal, "")
                : new ComparisonRow(test, ComparisonOutcome.Different, differences);
        }
        catch (CudaException e)
        {
            // A launch that failed takes its context along; one that was refused does not.
            if (e.Result.IsSticky()) _broken = $"the context broke in {test}";
            return new ComparisonRow(test, ComparisonOutcome.Failed, e.Message);
        }
    }

    /// <summary>Differing 4-byte words of each buffer: how many, and the first of them.</summary>
    public static string Differences(byte[][] found, byte[][] expected)
    {
        var text = new StringBuilder();
        for (int b = 0; b < found.Length; b++)
        {
            if (found[b].Length == 0) continue;
            int count = 0, first = -1, words = (found[b].Length + 3) / 4;
            for (int w = 0; w < words; w++)
            {
                if (Word(found[b], w) == Word(expected[b], w)) continue;
                count++;
                if (first < 0) first = w;
            }
            if (count == 0) continue;
            text.Append(CultureInfo.InvariantCulture,
                $"{(text.Length > 0 ? "; " : "")}argument {b}: {count} of {words} words differ, word {first} is 0x{Word(found[b], first):X8}, the emulator has 0x{Word(expected[b], first):X8}");
        }
        return text.ToString();
    }

    /// <summary>The comparison as Markdown: what differs first, then what was skipped, then what agrees.</summary>
    public string Report()
    {
        lock (_lock)
        {
            var text = new StringBuilder();
            text.Append(CultureInfo.InvariantCulture, $"""
                # The emulator against {Device}

                {_rows.Count} programs: {Count(ComparisonOutcome.Equal)} equal, {Count(ComparisonOutcome.Different)} different, {Count(ComparisonOutcome.Failed)} failed, {Count(ComparisonOutcome.Skipped)} skipped. Equal means every byte of every buffer.

                | test | outcome | detail |
                |---|---|---|

                """);
            foreach (ComparisonRow row in _rows.OrderByDescending(r => r.Outcome).ThenBy(r => r.Test,
                StringComparer.Ordinal))
                text.Append(CultureInfo.InvariantCulture,
                    $"| {Cell(row.Test)} | {row.Outcome.ToString().ToLowerInvariant()} | {Cell(row.Detail)} |\n");
            return text.ToString();
        }
    }

    private int Count(ComparisonOutcome outcome) => _rows.Count(r => r.Outcome == outcome);

    private static string Cell(string text)
    {
        string line = text.Replace("\n", " ", StringComparison.Ordinal).Replace("|", "\\|", StringComparison.Ordinal);
        return line.Length > 200 ? line[..200] + "..." : line;
    }

    private static uint Word(byte[] bytes, int word)
    {
        uint value = 0;
        for (int at = Math.Min(bytes.Length, (4 * word) + 4) - 1; at >= 4 * word; at--)
            value = (value << 8) | bytes[at];
        return value;
    }

    private static HardwareComparison? Open()
    {
        string choice = Environment.GetEnvironmentVariable("CUDALORA_TEST_DEVICE") is { Length: > 0 } given ? given
            : "auto";
        if (choice == "none") return null;
        ICudaDriver? driver;
        string reason = "";
        if (choice == "emulator")
            driver = new EmulatedDriver(new EmulatorOptions { Checks = false, ExactTensorCores = true });
        else if (choice is not ("auto" or "cuda"))
            throw new InvalidOperationException(
                $"CUDALORA_TEST_DEVICE must be auto, cuda, emulator or none, but got {choice}");
        else DriverProbe.TryFindCuda(out driver, out reason);
        if (driver is null) return choice == "auto" ? null : throw new InvalidOperationException(reason);
        var comparison = new HardwareComparison(CudaContext.Open(driver));
        AppDomain.CurrentDomain.ProcessExit += (_, _) =>
        {
            string file = Environment.GetEnvironmentVariable("CUDALORA_COMPARISON") is { Length: > 0 } path ? path
                : Path.Combine(SharedData.Root, "artifacts", "comparison.md");
            File.WriteAllText(file, comparison.Report());
        };
        return comparison;
    }
}

/// <summary>How a program did on a device; later ones come first in a report.</summary>
internal enum ComparisonOutcome
{
    Equal, Skipped, Failed, Different,
}

/// <summary>One program of one test.</summary>
internal sealed record ComparisonRow(string Test, ComparisonOutcome Outcome, string Detail);
