using System.Globalization;
using System.Text;
using System.Text.Json.Nodes;

namespace CudaLora.Bench.Readme;

/// <summary>Some rows of peers.json as README's table against libtorch.</summary>
internal static class PeerFigures
{
    private static readonly (string Group, string Name, string Label)[] Common =
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

    private static readonly (string Group, string Name, string Label)[] More =
    [
        ("generate", "4 layers, 256 wide, r 8, 1 x 32 + 64 tokens",
            "generation with kept keys and values: 64 tokens, 4 layers, 256 wide"),
        ("ppo", "whole step, 32 x 32 + 48 tokens, 4 layers, 256 wide, r 8",
            "PPO: rollout, scoring and update, 32 prompts, 48 tokens each"),
        ("load", "adapter of 4942 KiB on 56 linears, r 16", "loading an adapter: 56 linears, r 16"),
        ("load", "model of 130 MiB, F32", "loading a model of 130 MiB, F32"),
        ("optimizer", "AdamW, 56 tensors of 8 x 1024", "AdamW: 56 tensors of 8 x 1024"),
        ("op", "attention, causal, 4 x 512 tokens, 8 heads of 64, forward and backward",
            "causal attention, forward and backward: 4 x 512 tokens, 8 heads of 64"),
        ("op", "softmax, 2048 x 1024, forward and backward", "softmax, forward and backward: 2048 x 1024"),
        ("op", "GELU, 2048 x 1024, forward", "GELU by erf, forward: 2048 x 1024"),
        ("op", "concat of columns, 2048 x 1024 twice, forward", "concat of columns: twice 2048 x 1024"),
    ];

    /// <summary>Products, layers and a step.</summary>
    public static string Short(string results) => Of(results, Common);

    /// <summary>Those, and what more was compared.</summary>
    public static string Table(string results) => Of(results, [.. Common, .. More]);

    private static string Of(string results, IEnumerable<(string Group, string Name, string Label)> rows)
    {
        var outcomes = JsonNode.Parse(File.ReadAllText(Path.Combine(results, "peers.json")))!["outcomes"]!.AsArray();
        var text = new StringBuilder("| work | CudaLora | libtorch | ratio |\n|---|---:|---:|---:|\n");
        foreach (var (group, name, label) in rows)
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
