using System.Runtime.InteropServices;
using System.Text.Json;
using System.Text.Json.Nodes;
using CudaLora.Engine;
using CudaLora.Kernels.Simd;

namespace CudaLora.Cli;

/// <summary>All figures of a run of <c>cudalora bench</c>, and of what they were measured on.</summary>
internal sealed record BenchReport(
    IReadOnlyDictionary<string, string> Facts, IReadOnlyList<BenchCeiling> Ceilings, IReadOnlyList<BenchRow> Rows)
{
    private const string Kind = "cudalora bench";
    private const string Processors = "/proc/cpuinfo";

    /// <summary>What must be the same for two reports to be compared without a word.</summary>
    private static readonly string[] Machine = ["processor", "device", "threads"];

    public BenchCeiling CeilingOf(BenchRow row) => Ceilings.First(ceiling => ceiling.Device == row.Device);

    public static Dictionary<string, string> FactsOf(string command, BenchBudget budget) => new()
    {
        ["date"] = DateTime.UtcNow.ToString("yyyy-MM-dd", null),
        ["command"] = command,
        ["version"] = RunSummary.Version,
        ["processor"] = Processor(),
        ["device"] = Device.Cpu.Name,
        ["threads"] = $"{Workers.Count}",
        ["runtime"] = RuntimeInformation.FrameworkDescription,
        ["system"] = RuntimeInformation.OSDescription,
        ["budget"] = FormattableString.Invariant($"{budget.Rounds} rounds, {budget.Seconds} s each"),
    };

    /// <summary>Facts in which this run differs from another: "threads 2, not 4".</summary>
    public IEnumerable<string> Differences(BenchReport other) =>
        from name in Machine
        let now = Facts.GetValueOrDefault(name, "unknown")
        let then = other.Facts.GetValueOrDefault(name, "unknown")
        where now != then
        select $"{name} {now}, not {then}";

    public JsonObject ToJson() => new()
    {
        ["kind"] = Kind,
        ["facts"] = new JsonObject(Facts.Select(
            fact => KeyValuePair.Create(fact.Key, (JsonNode?)JsonValue.Create(fact.Value)))),
        ["ceilings"] = new JsonArray([.. Ceilings.Select(ceiling => ceiling.ToJson())]),
        ["rows"] = new JsonArray([.. Rows.Select(row => row.ToJson(CeilingOf(row)))]),
    };

    /// <summary>Reads what <see cref="ToJson"/> wrote.</summary>
    /// <exception cref="UsageException">The file is missing or something else; names it.</exception>
    public static BenchReport Read(string path)
    {
        if (!File.Exists(path)) throw new UsageException($"the report '{path}' does not exist");
        try
        {
            var json = JsonNode.Parse(File.ReadAllText(path)) as JsonObject;
            if ((string?)json?["kind"] != Kind) throw new JsonException("it has other fields");
            return new BenchReport(
                json["facts"]!.AsObject().ToDictionary(fact => fact.Key, fact => (string)fact.Value!),
                [.. json["ceilings"]!.AsArray().Select(ceiling => BenchCeiling.Read(ceiling!))],
                [.. json["rows"]!.AsArray().Select(row => BenchRow.Read(row!))]);
        }
        catch (Exception e) when (e is JsonException or NullReferenceException or InvalidOperationException
            or FormatException or ArgumentException or IOException or UnauthorizedAccessException)
        {
            throw new UsageException(
                $"'{path}' is no JSON report of '{Kind}': {e.Message.ReplaceLineEndings(" ")}");
        }
    }

    private static string Processor()
    {
        var line = File.Exists(Processors)
            ? File.ReadLines(Processors).FirstOrDefault(l => l.StartsWith("model name", StringComparison.Ordinal))
            : null;
        var name = line?[(line.IndexOf(':', StringComparison.Ordinal) + 1)..].Trim()
            ?? RuntimeInformation.ProcessArchitecture.ToString();
        return $"{name}, {Environment.ProcessorCount} logical cores";
    }
}
