using System.Text.Json.Nodes;

namespace CudaLora.Tests;

/// <summary><c>cudalora lab all</c> on a model of a few thousand weights; run once for all that use it.</summary>
[CollectionDefinition(nameof(LabFixture))]
public sealed class LabCollection : ICollectionFixture<LabFixture>;

/// <summary>The folder it wrote.</summary>
public sealed class LabFixture : IDisposable
{
    private readonly TinyModelFolder tiny = new();
    private readonly TemporaryFolder folder = new();

    public LabFixture()
    {
        Output = folder.File("report");
        CliRun.Of([
            "lab", "all", "--quick", "--max-steps", "4", "--model", tiny.Model, "--data", tiny.Data, "--output", Output,
        ]).AssertSucceeds();
    }

    public string Model => tiny.Model;

    public string Output { get; }

    public string Page => File.ReadAllText(Path.Combine(Output, "report.html"));

    /// <summary>What an experiment wrote.</summary>
    public JsonNode Json(string name) => JsonNode.Parse(File.ReadAllText(Path.Combine(Output, name + ".json")))!;

    /// <summary>What it measured.</summary>
    public JsonNode Numbers(string name) => Json(name)["numbers"]!;

    public void Dispose()
    {
        tiny.Dispose();
        folder.Dispose();
    }
}
