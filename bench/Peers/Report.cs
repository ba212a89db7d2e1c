using System.Globalization;
using System.Runtime.InteropServices;
using System.Runtime.Intrinsics;
using System.Text;
using System.Text.Encodings.Web;
using System.Text.Json;
using CudaLora.Kernels.Simd;
using Microsoft.ML.OnnxRuntime;
using TorchSharp;

namespace CudaLora.Peers;

/// <summary>Writes the outcomes as peers.md and peers.json.</summary>
internal static class Report
{
    private static readonly JsonSerializerOptions Json = new()
    {
        WriteIndented = true,
        PropertyNamingPolicy = JsonNamingPolicy.SnakeCaseLower,
        Encoder = JavaScriptEncoder.UnsafeRelaxedJsonEscaping,
    };

    public static void Write(string folder, string command, string clock, int repeats, IReadOnlyList<Outcome> outcomes)
    {
        Directory.CreateDirectory(folder);
        var facts = new Dictionary<string, string>
        {
            ["date"] = DateTime.UtcNow.ToString("yyyy-MM-dd", CultureInfo.InvariantCulture),
            ["command"] = command,
            ["commit"] = Environment.GetEnvironmentVariable("CUDALORA_COMMIT") ?? "unknown",
            ["cpu"] = Cpu(),
            ["threads"] = $"{Workers.Count}",
            ["vectors"] = Vector512.IsHardwareAccelerated ? "512 bits" : "256 bits",
            ["runtime"] = RuntimeInformation.FrameworkDescription,
            ["peer"] = $"TorchSharp {Version(typeof(torch))}, libtorch {torch.__version__}; of the group onnx ONNX "
                + $"Runtime {OrtEnv.Instance().GetVersionString()}",
            ["repeats"] = $"{repeats}, alternating in one process, {clock} time",
            ["load"] = Load(),
        };
        var json = JsonSerializer.Serialize(new { facts, outcomes }, Json);
        File.WriteAllText(Path.Combine(folder, "peers.json"), json + "\n");
        File.WriteAllText(Path.Combine(folder, "peers.md"), Markdown(facts, outcomes));
    }

    private static string Markdown(Dictionary<string, string> facts, IReadOnlyList<Outcome> outcomes)
    {
        var text = new StringBuilder("# CudaLora and libtorch side by side\n\n");
        foreach (var (name, value) in facts)
            text.Append(CultureInfo.InvariantCulture, $"- {name}: {value}\n");
        text.Append("\nTimes are medians per call. Ratio = peer / ours, median (quartiles) of neighbouring ");
        text.Append("measurements:\nabove 1, CudaLora is faster. Difference is the largest one of the results.\n");
        foreach (var group in outcomes.GroupBy(o => o.Group))
        {
            text.Append(CultureInfo.InvariantCulture, $"\n## {group.Key}\n\n");
            text.Append("| work | ours ms | peer ms | ratio | ours | peer | | difference |\n");
            text.Append("|---|---:|---:|---:|---:|---:|---|---:|\n");
            foreach (var o in group)
            {
                text.Append(CultureInfo.InvariantCulture, $"| {o.Name} | {o.OursMs:f3} | {o.PeerMs:f3} ");
                text.Append(CultureInfo.InvariantCulture, $"| {o.Ratio:f2} ({o.RatioLow:f2} to {o.RatioHigh:f2}) ");
                text.Append(CultureInfo.InvariantCulture, $"| {Rate(o.OursRate)} | {Rate(o.PeerRate)} | {o.RateUnit} ");
                text.Append(CultureInfo.InvariantCulture, $"| {o.Difference:e1} |\n");
            }
        }
        return text.ToString();
    }

    private static string Rate(double? value) =>
        value?.ToString(value < 10 ? "0.00" : "#,0", CultureInfo.InvariantCulture) ?? "";

    private static string Version(Type type) => type.Assembly.GetName().Version?.ToString(3) ?? "unknown";

    private static string Cpu()
    {
        const string path = "/proc/cpuinfo";
        var lines = File.Exists(path) ? File.ReadLines(path) : [];
        var line = lines.FirstOrDefault(l => l.StartsWith("model name", StringComparison.Ordinal));
        var name = line?.Split(':')[1].Trim();
        return $"{name ?? "unknown"}, {Environment.ProcessorCount} logical cores";
    }

    // Above the number of cores, others were computing too.
    private static string Load()
    {
        const string path = "/proc/loadavg";
        return File.Exists(path) ? $"{File.ReadAllText(path).Split(' ')[0]} in the last minute" : "unknown";
    }
}
