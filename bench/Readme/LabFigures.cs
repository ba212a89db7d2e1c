using System.Globalization;
using System.Text;
using System.Text.Json.Nodes;
using CudaLora.Cli;

namespace CudaLora.Bench.Readme;

/// <summary>What <c>cudalora lab all</c> found, as the guide shows it: a table and the findings.</summary>
internal static class LabFigures
{
    private const int MostColumns = 110;

    public static string Init(string results) => Part(
        results, "init",
        "| first values | dA at step 0 | dB at step 0 | dA at step 1 | dB at step 1 | loss at first | after |",
        numbers => Rows(numbers, "starts").Select(start => Cells(
            (string)start["start"]!, Norm(start["grad_a"]![0]!), Norm(start["grad_b"]![0]!),
            Norm(start["grad_a"]![1]!), Norm(start["grad_b"]![1]!), Loss(start["first_loss"]!),
            Loss(start["last_loss"]!))));

    public static string Rank(string results) => Part(
        results, "rank", "| layer | weight | full update | B A, r 8 | B A, r 64 | energy of the update in 8 |",
        numbers => Rows(numbers, "layers").Select(layer => Cells(
            ((string)layer["layer"]!).Split('.')[^1], Rounded(layer["effective_rank"]!["weight"]!),
            Rounded(layer["effective_rank"]!["full"]!), Rounded(layer["effective_rank"]!["r8"]!),
            Rounded(layer["effective_rank"]!["r64"]!), Figures.Percent((double)layer["full_energy_in_8"]!))));

    public static string Placement(string results) => Part(
        results, "placement", "| layers | rank | parameters | loss | spread |",
        numbers => Rows(numbers, "cells").Select(cell => Cells(
            (string)cell["name"]!, $"{cell["r"]}", Figures.Count((double)cell["trainable_parameters"]!),
            Loss(cell["held_out_loss"]!), Loss(cell["spread"]!))));

    public static string Sweep(string results) => Part(
        results, "sweep", "| rank | LoRA, alpha 16 | rsLoRA, alpha 16 | LoRA, alpha 2 r |",
        numbers =>
        {
            var cells = Rows(numbers, "cells").ToLookup(cell => (string)cell["name"]!);
            return cells.Where(c => c.Key.StartsWith("rsLoRA", StringComparison.Ordinal)).Select(c => c.First())
                .Select(cell => (int)cell["r"]!)
                .Select(r => Cells(
                    $"{r}", Of($"LoRA, r {r}, alpha 16"), Of($"rsLoRA, r {r}, alpha 16"),
                    Of($"LoRA, r {r}, alpha {2 * r}")));

            string Of(string name) => Loss(cells[name].First()["held_out_loss"]!);
        });

    public static string Parameters(string results) => Part(
        results, "parameters", "| width d | gradients, full | gradients, r 8 | state, full | state, r 8 |",
        numbers => numbers["widths"]!.AsArray().Select((width, i) => Cells(
            $"{width}", Figures.Count((double)numbers["full"]![i]!["gradients"]!),
            Figures.Count((double)numbers["lora"]![i]!["gradients"]!),
            Figures.Bytes((long)numbers["full"]![i]!["gradient_and_moment_bytes"]!),
            Figures.Bytes((long)numbers["lora"]![i]!["gradient_and_moment_bytes"]!))));

    public static string Quantization(string results) => Part(
        results, "quantization",
        numbers => $"| weights per scale | {string.Join(" | ", numbers["blocks"]!.AsArray())} |",
        numbers => numbers["error"]!.AsObject().Select(code => Cells(
            [code.Key, .. code.Value!.AsArray().Select(error => Figures.Percent((double)error!))])));

    public static string Kernel(string results) => Part(
        results, "kernel", "| strategy | launches | bytes, forward | bytes, backward | flops over the least |",
        numbers => numbers["strategies"]!.AsObject().Select(way => Cells(
            way.Key, $"{way.Value!["forward"]!["launches"]!.AsArray().Count}", Bytes(way.Value["forward"]!),
            Bytes(way.Value["backward"]!),
            Figures.Short((double)way.Value["forward"]!["flops"]! / (double)numbers["least_forward_flops"]!))));

    /// <summary>
    /// One thread of a LoRA kernel, as <c>kernels trace</c> wrote it: loads of W and x, the first product, the sums
    /// over warps, the adapter's products, what is stored.
    /// </summary>
    public static string Trace(string results)
    {
        var lines = File.ReadAllLines(Path.Combine(results, "lab", "trace.txt"));
        string[] first = ["{p0, p1, p2, p3}, [wLow", "{m0, m1, m2, m3}, [xLow", "mma.sync", "st.shared", "bar.sync"];
        string[] all =
            [" sum=", "fma.rn.f32 factor", "fma.rn.f32 sum", "[scale]", "cvt.rn.bf16", "st.global"];
        var kept = first
            .Select(word => Array.FindIndex(lines, line => line.Contains(word, StringComparison.Ordinal)))
            .Concat(Enumerable.Range(0, lines.Length)
                .Where(i => all.Any(word => lines[i].Contains(word, StringComparison.Ordinal))))
            .Prepend(0).Distinct().Order();
        return $"```\n{string.Join('\n', kept.Select(i => Cut(lines[i].TrimEnd())))}\n```";

        static string Cut(string line) => line.Length <= MostColumns ? line : line[..(MostColumns - 3)] + "...";
    }

    private static string Part(
        string results, string name, string heading, Func<JsonNode, IEnumerable<string>> rows) =>
        Part(results, name, _ => heading, rows);

    // The first column is text, the others are numbers.
    private static string Part(
        string results, string name, Func<JsonNode, string> heading, Func<JsonNode, IEnumerable<string>> rows)
    {
        var report = JsonNode.Parse(File.ReadAllText(Path.Combine(results, "lab", name + ".json")))!;
        var (numbers, text) = (report["numbers"]!, new StringBuilder());
        var title = heading(numbers);
        text.Append(title).Append("\n|---|")
            .Insert(text.Length, "---:|", title.Count(c => c == '|') - 2).Append('\n');
        foreach (var row in rows(numbers)) text.Append(row).Append('\n');
        text.Append("\nFound:\n\n");
        foreach (var sentence in report["explanation"]!.AsArray()) text.Append($"- {sentence}\n");
        return text.ToString();
    }

    private static IEnumerable<JsonNode> Rows(JsonNode numbers, string name) =>
        numbers[name]!.AsArray().Select(row => row!);

    private static string Cells(params string[] cells) => $"| {string.Join(" | ", cells)} |";

    private static string Loss(JsonNode value) => Figures.Loss((double)value);

    private static string Rounded(JsonNode value) => ((double)value).ToString("0.0", CultureInfo.InvariantCulture);

    private static string Norm(JsonNode value) =>
        (double)value == 0 ? "0" : ((double)value).ToString("0.00", CultureInfo.InvariantCulture);

    private static string Bytes(JsonNode way) =>
        Figures.Count((double)way["read_bytes"]! + (double)way["written_bytes"]!);
}
