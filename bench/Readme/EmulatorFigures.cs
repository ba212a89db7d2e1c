using System.Globalization;

namespace CudaLora.Bench.Readme;

/// <summary>The times of emulator.md, BenchmarkDotNet's table, as rates.</summary>
internal static class EmulatorFigures
{
    public static string Sentence(string results)
    {
        var lines = File.ReadAllLines(Path.Combine(results, "emulator.md"));
        var (plain, plainChecked) = (Rate("Arithmetic", false), Rate("Arithmetic", true));
        var (loads, loadsChecked) = (Rate("Shared", false), Rate("Shared", true));
        return string.Create(CultureInfo.InvariantCulture, $"""
            The emulator runs {plain:0.0} billion lane instructions of an arithmetic loop per second and core with its checks
            off, {plainChecked:0.0} with all of them on; of a loop of shared-memory loads {loads:0.00} and {loadsChecked:0.00}
            ([table]({ReadmeFigures.Results}/emulator.md)).
            """).ReplaceLineEndings("\n");

        // A nanosecond an instruction is a billion a second.
        double Rate(string method, bool checks)
        {
            var row = lines.Select(line => line.Replace("*", "", StringComparison.Ordinal).Split('|'))
                .Single(cells => cells.Length > 3 && cells[1].Trim() == method && cells[2].Trim() == $"{checks}");
            var time = row[3].Trim();
            if (!time.EndsWith(" ns", StringComparison.Ordinal))
                throw new InvalidDataException($"emulator.md must give {method} in ns, but has '{time}'");
            return 1 / double.Parse(time[..^3], NumberStyles.Number, CultureInfo.InvariantCulture);
        }
    }
}
