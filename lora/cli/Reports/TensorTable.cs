using CudaLora.Engine;

namespace CudaLora.Cli;

/// <summary>The tensors of a file or folder as a table.</summary>
internal static class TensorTable
{
    /// <param name="terminal">Where to.</param>
    /// <param name="entries">The tensors.</param>
    /// <param name="rows">How many are listed; 0 all. The sums are of all.</param>
    public static void Print(Terminal terminal, IEnumerable<SafetensorsEntry> entries, int rows)
    {
        var all = entries.OrderBy(e => e.Name, NaturalOrder.Comparer).ToArray();
        var shown = rows == 0 ? all : all[..Math.Min(rows, all.Length)];
        var name = shown.Select(e => e.Name.Length).Append(6).Max();
        var shape = shown.Select(e => e.ShapeText.Length).Append(5).Max();
        terminal.Line();
        terminal.Line($"{"tensor".PadRight(name)}  dtype  {"shape".PadRight(shape)}  {"values",14}  {"bytes",10}");
        foreach (var e in shown)
        {
            terminal.Line($"{e.Name.PadRight(name)}  {e.DType.FileName(),-5}  {e.ShapeText.PadRight(shape)}  "
                + $"{Figures.Count(e.Count),14}  {Figures.Bytes(e.ByteCount),10}");
        }
        if (shown.Length < all.Length) terminal.Line($"... and {all.Length - shown.Length} more (--rows 0 lists all)");
        terminal.Line($"{all.Length} tensors, {Figures.Count(all.Sum(e => e.Count))} values, "
            + Figures.Bytes(all.Sum(e => e.ByteCount)));
    }
}
