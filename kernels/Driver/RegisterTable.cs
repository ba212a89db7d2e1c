using System.Globalization;

namespace CudaLora.Kernels.Driver;

/// <summary>What ptxas made of an entry: a row of kernels/registers.md.</summary>
/// <param name="Entry">Kernel name.</param>
/// <param name="Target">Architecture, for example sm_90.</param>
/// <param name="Registers">Of a thread.</param>
/// <param name="SpillBytes">Stored to and loaded from local memory for want of registers.</param>
/// <param name="SharedBytes">Static shared memory of a block.</param>
public sealed record RegisterRow(string Entry, string Target, int Registers, int SpillBytes, int SharedBytes);

/// <summary>kernels/registers.md, carried inside the assembly; a test compares it with ptxas.</summary>
public static class RegisterTable
{
    private const string Resource = "registers.md";

    /// <summary>All rows.</summary>
    public static IReadOnlyList<RegisterRow> Rows { get; } = Read();

    /// <summary>The row of an entry for the highest target it was assembled for, or null.</summary>
    public static RegisterRow? Find(string entry) => Rows
        .Where(row => row.Entry == entry)
        .OrderByDescending(row => row.Target, StringComparer.Ordinal)
        .FirstOrDefault();

    private static RegisterRow[] Read()
    {
        using Stream stream = typeof(RegisterTable).Assembly.GetManifestResourceStream(Resource)!;
        using var reader = new StreamReader(stream);
        return
        [
            .. reader.ReadToEnd().Split('\n')
                .Where(line => line.Contains(".ptx |", StringComparison.Ordinal))
                .Select(line => line.Split('|', StringSplitOptions.TrimEntries))
                .Select(cells => new RegisterRow(cells[2], cells[3], Int(cells[4]), Int(cells[5]), Int(cells[6]))),
        ];
    }

    private static int Int(string text) => int.Parse(text, CultureInfo.InvariantCulture);
}
