using System.Globalization;
using CudaLora.Engine;
using CudaLora.Lora;

namespace CudaLora.Cli;

/// <summary>Errors and sizes of 4-bit layers as tables.</summary>
internal static class QuantizationTable
{
    /// <summary>The error of each layer, and of all together.</summary>
    public static void PrintErrors(Terminal terminal, IReadOnlyList<QuantizationError> errors, int rows)
    {
        if (errors.Count == 0) return;
        var shown = rows == 0 ? errors : [.. errors.Take(rows)];
        var name = shown.Select(e => e.Name.Length).Append(11).Max();
        terminal.Line();
        terminal.Line($"{"4-bit layer".PadRight(name)}  {"weights",14}  {"error",8}  {"mean |error|",12}");
        foreach (var e in shown)
            terminal.Line($"{e.Name.PadRight(name)}  {Figures.Count(e.Count),14}  {Figures.Percent(e.Relative),8}  "
                + $"{e.MeanAbsolute.ToString("0.000000", CultureInfo.InvariantCulture),12}");
        if (shown.Count < errors.Count)
            terminal.Line($"... and {errors.Count - shown.Count} more (--rows 0 lists all)");
        var worst = errors.MaxBy(e => e.Relative);
        var mean = errors.Sum(e => e.Relative * e.Count) / errors.Sum(e => e.Count);
        terminal.Line($"mean error {Figures.Percent(mean)} of the weights' norm; "
            + $"worst {Figures.Percent(worst.Relative)} in {worst.Name}");
    }

    /// <summary>Bits per weight and bytes, of the 4-bit layers and of the model.</summary>
    public static void PrintSizes(Terminal terminal, WeightSizes sizes)
    {
        if (sizes.Codes.Count == 0) return;
        var (count, bytes) = (sizes.Codes.Sum(c => c.Count), sizes.Codes.Sum(c => c.Options.PartBytes(c.Count).Sum()));
        var options = sizes.Codes[0].Options;
        terminal.Line($"4-bit       {Describe(options)}: {Figures.Count(sizes.Codes.Count)} layers, "
            + $"{Figures.Count(count)} weights, {Figures.Bytes(bytes)} ({Figures.Bytes(2 * count)} in 16 bits)");
        terminal.Line($"bits        {Bits(options.BitsPerWeight)} per 4-bit weight, "
            + $"{Bits(8.0 * bytes / count)} with tables, "
            + $"{Bits(8.0 * sizes.FileBytes / sizes.Parameters)} per parameter of the files");
    }

    /// <summary>The type in words.</summary>
    public static string Describe(QuantizationOptions options) =>
        $"{QuantizationOptions.NameOf(options.Type)}, blocks of {options.BlockSize}"
        + (options.DoubleQuant ? ", double quantisation" : "");

    private static string Bits(double bits) => bits.ToString("0.000", CultureInfo.InvariantCulture);
}
