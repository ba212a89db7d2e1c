using System.Globalization;

namespace CudaLora.Bench.Readme;

/// <summary>The times of emulator.md, in nanoseconds per lane instruction, as rates.</summary>
internal static class EmulatorFigures
{
    public static string Sentence(string results)
    {
        var lines = File.ReadAllLines(Path.Combine(results, "emulator.md"));
        var (plain, plainChecked) = (Rate("arithmetic", "off"), Rate("arithmetic", "on"));
        var (loads, loadsChecked) = (Rate("shared-memory loads", "off"), Rate("shared-memory loads", "on"));
        return string.Create(CultureInfo.InvariantCulture, $"""
            The emulator runs {plain:0.0} billion lane instructions of an arithmetic loop per second and core with its checks
            off, {plainChecked:0.0} with all of them on; of a loop of shared-memory loads {loads:0.00} and {loadsChecked:0.00}
            ([table]({ReadmeFigures.Results}/emulator.md)).
            """).ReplaceLineEndings("\n");

        // A nanosecond an instruction is a billion a second.
        double Rate(string loop, string checks)
        {
            var row = lines.Select(line => line.Split('|'))
                .Single(cells => cells.Length > 3 && cells[1].Trim() == loop && cells[2].Trim() == checks);
            return 1 / double.Parse(row[3], NumberStyles.Number, CultureInfo.InvariantCulture);
        }
    }
}
