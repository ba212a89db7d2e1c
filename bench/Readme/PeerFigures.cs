using System.Globalization;
using System.Text;
using System.Text.Json.Nodes;

namespace CudaLora.Bench.Readme;

/// <summary>Some rows of peers.json as README's table against libtorch.</summary>
internal static class PeerFigures
{
    private static readonly (string Group, string Name, string Label)[] Rows =
    [
        ("step", "4 layers, 256 wide, 8 x 128 tokens, r 8",
            "LoRA training step: 4 layers, 256 wide, 8 x 128 tokens, r 8"),
        ("linear", "1024 tokens, 256 x 256, r 8", "LoRA linear, forward and backward: 1024 tokens, 256 x 256, r 8"),
        ("linear", "1024 tokens, 1024 x 1024, r 8",
            "LoRA linear, forward and backward: 1024 tokens, 1024 x 1024, r 8"),
        ("gemm", "S = x A^T, 1024 tokens, 1024, r 8", "S = x Aᵀ: 1024 tokens, 1024, r 8"),
        ("gemm", "y = x W^T, 4 tokens, 2048", "y = x Wᵀ: 4 tokens, 2048 x 2048"),
        ("gemm", "1024 square", "matrix product 1024 x 1024 x 1024, F32"),
        ("gemm", "2048 square", "matrix product 2048 x 2048 x 2048, F32"),
    ];

    public static string Table(string results)
    {
        var outcomes = JsonNode.Parse(File.ReadAllText(Path.Combine(results, "peers.json")))!["outcomes"]!.AsArray();
        var text = new StringBuilder("| work | CudaLora | libtorch | ratio |\n|---|---:|---:|---:|\n");
        foreach (var (group, name, label) in Rows)
        {
            var row = outcomes.Single(o => (string?)o!["group"] == group && (string?)o["name"] == name)!;
            double ours = (double)row["ours_ms"]!, peer = (double)row["peer_ms"]!, ratio = (double)row["ratio"]!;
            var format = ours switch { < 1 => "0.000", < 10 => "0.00", _ => "0.0" };
            text.Append(CultureInfo.InvariantCulture,
                $"| {label} | {ours.ToString(format, CultureInfo.InvariantCulture)} ms | ");
            text.Append(CultureInfo.InvariantCulture,
                $"{peer.ToString(format, CultureInfo.InvariantCulture)} ms | {ratio:0.00} |\n");
        }
        return text.ToString();
    }
}
