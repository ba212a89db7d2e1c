using System.Text.Json.Nodes;

namespace CudaLora.Bench.Processes;

/// <summary>A published form with its figures.</summary>
/// <param name="Form">How it was made.</param>
/// <param name="Program">The program's path.</param>
internal sealed record MeasuredForm(PublishedForm Form, string Program)
{
    private const string Report = "product.json";

    private double product;

    /// <summary>By name of the job.</summary>
    public Dictionary<string, ProcessTimes> Times { get; } =
        ProcessJob.All.ToDictionary(job => job.Name, _ => new ProcessTimes());

    /// <summary>Takes one figure of the program's own bench: what the compiler made of the vectors.</summary>
    public void MeasureProduct(string folder)
    {
        ChildProcess.Run(
            folder, [Program, "bench", "--quick", "--filter", "square, 1024", "--output", Path.Combine(folder, Report)]);
        var rows = JsonNode.Parse(File.ReadAllText(Path.Combine(folder, Report)))!["rows"]!.AsArray();
        product = (double)rows.Single(row => (string)row!["group"]! == "product")!["flops_per_second"]! / 1e9;
        Console.WriteLine(FormattableString.Invariant($"{Form.Label}: product: {product:0} GFLOP/s"));
    }

    public JsonObject ToJson()
    {
        var files = Directory.GetFiles(Path.GetDirectoryName(Program)!, "*", SearchOption.AllDirectories);
        // Symbols of NativeAOT are for a debugger and stay at home.
        var sizes = files.Where(file => !file.EndsWith(".dbg", StringComparison.Ordinal))
            .Select(file => new FileInfo(file).Length).ToArray();
        return new JsonObject
        {
            ["name"] = Form.Name,
            ["label"] = Form.Label,
            ["publish"] = Form.Command,
            ["bytes"] = sizes.Sum(),
            ["files"] = sizes.Length,
            ["product_gflops"] = Math.Round(product, 1),
            ["jobs"] = new JsonObject(Times.Select(
                job => KeyValuePair.Create(job.Key, (JsonNode?)job.Value.ToJson()))),
        };
    }
}
