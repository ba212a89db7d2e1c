using CudaLora.Kernels.Driver;
using CudaLora.Kernels.Runtime;

namespace CudaLora.Engine;

/// <summary>One product of a LoRA layer, as far as its speed goes.</summary>
/// <param name="Backward">dX (m, n) from dY (m, k), else y (m, n) from x (m, k).</param>
/// <param name="M">Tokens.</param>
/// <param name="N">Columns of the result.</param>
/// <param name="K">Terms of each sum, the adapter's apart.</param>
/// <param name="Rank">Columns of S: of all adapters that share it; 0 without one.</param>
/// <param name="Bias">A bias is added.</param>
/// <param name="FourBit">W0 is 4-bit codes.</param>
public readonly record struct LoraProduct(
    bool Backward, int M, int N, int K, int Rank, bool Bias, bool FourBit = false)
{
    /// <inheritdoc/>
    public override string ToString() =>
        $"{(Backward ? "backward" : "forward")} ({M}, {N}, {K}) r {Rank}{(Bias ? " bias" : "")}"
        + (FourBit ? " 4-bit" : "");
}

/// <summary>
/// The strategy of each product on one device, timed once and frozen, in memory and in a file: a shape always runs the
/// same kernels and gives the same bits.
/// </summary>
public sealed class LoraChoices
{
    private const int Repeats = 5;

    private readonly CudaContext context;
    private readonly string? file;
    private readonly string owner;
    private readonly Lock gate = new();
    private readonly Dictionary<LoraProduct, LoraStrategy> known = [];
    private readonly Dictionary<string, LoraStrategy> read = new(StringComparer.Ordinal);

    internal LoraChoices(CudaContext context, string gemm, string? file)
    {
        (this.context, this.file) = (context, file);
        owner = $"{context.Properties.Name}, {gemm}";
        if (file is null || !File.Exists(file))
            return;
        foreach (var line in File.ReadLines(file))
        {
            // A line of another device, or one that is damaged, is passed over.
            if (line.Split('\t') is [var device, var product, var name] && device == owner
                && Enum.TryParse(name, out LoraStrategy strategy) && strategy != LoraStrategy.Auto)
                read[product] = strategy;
        }
    }

    /// <summary>lora.tsv in the user's cache folder; CUDALORA_LORA_CACHE names another file.</summary>
    public static string DefaultFile =>
        Environment.GetEnvironmentVariable("CUDALORA_LORA_CACHE") is { Length: > 0 } given
            ? given
            : Path.Combine(
                Environment.GetFolderPath(Environment.SpecialFolder.LocalApplicationData), "cudalora", "lora.tsv");

    /// <summary>What is chosen for the products this device was timed on, in this process or in the file.</summary>
    public IReadOnlyDictionary<string, LoraStrategy> Known
    {
        get
        {
            lock (gate)
            {
                var all = new SortedDictionary<string, LoraStrategy>(read, StringComparer.Ordinal);
                foreach (var (product, strategy) in known)
                    all[product.ToString()] = strategy;
                return all;
            }
        }
    }

    /// <summary>
    /// The strategy for <paramref name="product"/>. The first time, each of <paramref name="candidates"/> is run by
    /// <paramref name="run"/> and timed, which must do no harm when repeated.
    /// </summary>
    internal LoraStrategy Choose(
        LoraProduct product, ReadOnlySpan<LoraStrategy> candidates, Action<LoraStrategy> run)
    {
        lock (gate)
        {
            if (known.TryGetValue(product, out var chosen))
                return chosen;
            if (!context.Driver.KeepsTime)
                chosen = LoraStrategy.Composed;
            else if (!read.TryGetValue(product.ToString(), out chosen) || !candidates.Contains(chosen))
                Write(product, chosen = Fastest(candidates, run));
            known.Add(product, chosen);
            return chosen;
        }
    }

    /// <summary>The strategy of <paramref name="product"/> if it is chosen already.</summary>
    internal bool TryGet(in LoraProduct product, out LoraStrategy strategy)
    {
        lock (gate)
            return known.TryGetValue(product, out strategy);
    }

    private LoraStrategy Fastest(ReadOnlySpan<LoraStrategy> candidates, Action<LoraStrategy> run)
    {
        var (best, chosen) = (float.MaxValue, LoraStrategy.Composed);
        using CudaEvent start = new(context), end = new(context);
        foreach (var candidate in candidates)
        {
            // The first run loads kernels and lets the library choose its own algorithm.
            run(candidate);
            for (var i = 0; i < Repeats; i++)
            {
                start.Record(context.Stream);
                run(candidate);
                end.Record(context.Stream);
                end.Synchronize();
                var time = end.MillisecondsSince(start);
                if (time < best)
                    (best, chosen) = (time, candidate);
            }
        }
        return chosen;
    }

    private void Write(LoraProduct product, LoraStrategy strategy)
    {
        if (file is null)
            return;
        try
        {
            Directory.CreateDirectory(Path.GetDirectoryName(Path.GetFullPath(file))!);
            File.AppendAllText(file, $"{owner}\t{product}\t{strategy}\n");
        }
        catch (Exception error) when (error is IOException or UnauthorizedAccessException)
        {
            // The choice still holds for this process.
        }
    }
}
