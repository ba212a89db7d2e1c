using System.Runtime.InteropServices;

namespace CudaLora.Kernels.Blas;

/// <summary>
/// Frozen algorithm choices, one line each: library and device, shape, the algorithm's 64 bytes in hexadecimal. A line
/// that
/// cannot be read is passed over; a file that cannot be written is done without.
/// </summary>
internal sealed class AlgorithmCache
{
    /// <summary>gemm.tsv in the user's cache folder; CUDALORA_GEMM_CACHE names another file.</summary>
    public static string DefaultFile =>
        Environment.GetEnvironmentVariable("CUDALORA_GEMM_CACHE") is { Length: > 0 } given
            ? given
            : Path.Combine(
                Environment.GetFolderPath(Environment.SpecialFolder.LocalApplicationData), "cudalora", "gemm.tsv");

    private readonly string? file;
    private readonly string owner;
    private readonly Dictionary<string, LtAlgorithm> known = new(StringComparer.Ordinal);

    public AlgorithmCache(string? file, string owner)
    {
        (this.file, this.owner) = (file, owner);
        if (file is null || !File.Exists(file)) return;
        foreach (string line in File.ReadLines(file))
        {
            string[] parts = line.Split('\t');
            if (parts.Length != 3 || parts[0] != owner || parts[2].Length != 128) continue;
            try
            {
                known[parts[1]] = MemoryMarshal.Read<LtAlgorithm>(Convert.FromHexString(parts[2]));
            }
            catch (FormatException)
            {
                // A damaged line costs a new measurement, no more.
            }
        }
    }

    public bool TryGet(in GemmShape shape, out LtAlgorithm algorithm) =>
        known.TryGetValue(shape.ToString(), out algorithm);

    public void Add(in GemmShape shape, LtAlgorithm algorithm)
    {
        string key = shape.ToString();
        known[key] = algorithm;
        if (file is null) return;
        string hex = Convert.ToHexString(MemoryMarshal.AsBytes(new ReadOnlySpan<LtAlgorithm>(in algorithm)));
        try
        {
            Directory.CreateDirectory(Path.GetDirectoryName(Path.GetFullPath(file))!);
            File.AppendAllText(file, $"{owner}\t{key}\t{hex}\n");
        }
        catch (Exception error) when (error is IOException or UnauthorizedAccessException)
        {
            // The choice still holds for this process.
        }
    }
}
