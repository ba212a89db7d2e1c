namespace CudaLora.Cli;

/// <summary>The rank each layer has, as a heat map: a row per block, a column per kind of layer.</summary>
internal static class RankMap
{
    private const string Shades = " ░▒▓█";

    public static void Print(Terminal terminal, IReadOnlyList<(string Layer, int Rank)> ranks, int most)
    {
        var cells = ranks.Select(r => (Row: RowOf(r.Layer), Column: r.Layer[(r.Layer.LastIndexOf('.') + 1)..], r.Rank))
            .ToArray();
        string[] columns = [.. cells.Select(c => c.Column).Distinct()];
        terminal.Line();
        terminal.Line($"ranks       {ranks.Sum(r => r.Rank)} in {ranks.Count} layers, of {most} each at first");
        terminal.Line($"{"",-12}" + string.Concat(columns.Select(c => $"{c,-11}")));
        foreach (var row in cells.GroupBy(c => c.Row).OrderBy(g => g.Key, NaturalOrder.Comparer))
        {
            terminal.Line($"{row.Key,-12}" + string.Concat(columns.Select(column =>
                row.FirstOrDefault(c => c.Column == column) is { Column: not null } cell
                    ? $"{Shade(cell.Rank, most)} {cell.Rank,-6}"
                    : $"{"",-11}")));
        }
    }

    private static string Shade(int rank, int most) =>
        new(Shades[rank == 0 ? 0 : Math.Clamp((int)Math.Ceiling(4.0 * rank / most), 1, 4)], 4);

    // "model.layers.3.self_attn.q_proj": layers.3
    private static string RowOf(string layer)
    {
        var parts = layer.Split('.');
        var at = Array.FindIndex(parts, part => part.All(char.IsAsciiDigit));
        return at > 0 ? $"{parts[at - 1]}.{parts[at]}" : string.Join('.', parts[..^1]);
    }
}
