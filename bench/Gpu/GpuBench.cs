using System.Globalization;
using System.Text;
using System.Text.Json.Nodes;
using CudaLora.Cli;
using CudaLora.Engine;
using CudaLora.Kernels.Driver;
using CudaLora.Kernels.Emulator;

namespace CudaLora.Bench.Gpu;

/// <summary>
/// <c>gpu</c>: every kernel against the measured copy and product, LoRA layers by every strategy against the bare
/// product and on a 4-bit base, generation and training steps end to end, on a CUDA device. Writes gpu.json and gpu.md.
/// On the emulator the shapes are tiny and the times mean nothing: it shows that the bench runs.
/// </summary>
internal static class GpuBench
{
    private static readonly (string Name, Action<CudaDevice, GpuReport, GpuSizes> Run)[] Parts =
    [
        ("kernels", KernelTimes.Run), ("linear", LoraLinearTimes.Run), ("generate", GenerationTimes.Run),
        ("nf4", Nf4LayerTimes.Run), ("step", StepTimes.Run),
    ];

    public static int Run(string[] args)
    {
        var (device, output, only, full) = ("cuda", ".", "", false);
        for (var i = 0; i < args.Length; i++)
        {
            var value = i + 1 < args.Length ? args[i + 1] : null;
            switch (args[i])
            {
                case "--full":
                    full = true;
                    continue;
                case "--device" when value is "cuda" or "emulator":
                    device = value;
                    break;
                case "--output" when value is not null:
                    output = value;
                    break;
                case "--only" when Parts.Any(part => part.Name == value):
                    only = value!;
                    break;
                default:
                    Console.Error.WriteLine(
                        "gpu takes --device cuda|emulator, --output DIR, --full, --only "
                        + string.Join('|', Parts.Select(part => part.Name)));
                    return 2;
            }
            i++;
        }
        var quick = device == "emulator";
        ICudaDriver? driver = quick ? new EmulatedDriver(new EmulatorOptions { Checks = false }) : null;
        if (driver is null && !DriverProbe.TryFindCuda(out driver, out var reason))
        {
            Console.Error.WriteLine($"no CUDA here: {reason}");
            return 1;
        }
        using var gpu = new CudaDevice(driver, ownsDriver: true);
        Console.WriteLine(gpu.Name);
        var report = new GpuReport(gpu);
        var sizes = quick ? GpuSizes.Tiny : full ? GpuSizes.Full : GpuSizes.Usual;
        foreach (var part in Parts.Where(part => only is "" || only == part.Name))
        {
            part.Run(gpu, report, sizes);
            // After each part: a run that is stopped keeps what it has.
            report.Write(output);
        }
        return 0;
    }
}

/// <summary>How much to measure: what an emulator can, what a look needs, or the whole grid.</summary>
internal enum GpuSizes
{
    Tiny,
    Usual,
    Full,
}

/// <summary>Rows of figures, as JSON and as Markdown.</summary>
internal sealed class GpuReport(CudaDevice device)
{
    private readonly List<(string Table, JsonObject Row)> rows = [];

    public void Add(string table, JsonObject row)
    {
        rows.Add((table, row));
        Console.WriteLine($"{table}: {string.Join("  ", row.Select(cell => $"{cell.Key} {Text(cell.Value)}"))}");
    }

    public void Write(string folder)
    {
        _ = device.Context.Driver.DriverGetVersion(out var version);
        var json = new JsonObject
        {
            ["device"] = device.Name,
            ["cuda_driver"] = $"{version / 1000}.{version % 1000 / 10}",
            ["command"] = Environment.CommandLine,
            ["rows"] = new JsonArray([.. rows.Select(r => new JsonObject
            {
                ["table"] = r.Table,
                ["figures"] = r.Row.DeepClone(),
            })]),
        };
        AtomicFile.WriteText(Path.Combine(folder, "gpu.json"), ReportJson.Text(json) + "\n");
        var text = new StringBuilder($"{device.Name}, CUDA {json["cuda_driver"]}\n");
        foreach (var table in rows.GroupBy(r => r.Table))
        {
            var names = table.SelectMany(r => r.Row.Select(cell => cell.Key)).Distinct().ToArray();
            text.Append($"\n## {table.Key}\n\n| {string.Join(" | ", names)} |\n");
            text.Append($"|{string.Concat(names.Select(_ => "---|"))}\n");
            foreach (var (_, row) in table)
                text.Append($"| {string.Join(" | ", names.Select(name => Text(row[name])))} |\n");
        }
        AtomicFile.WriteText(Path.Combine(folder, "gpu.md"), text.ToString());
    }

    private static string Text(JsonNode? value) => value switch
    {
        null => "-",
        JsonValue number when number.TryGetValue(out double v) =>
            v.ToString(Math.Abs(v) < 100 ? "0.000" : "#,0", CultureInfo.InvariantCulture),
        _ => value.ToString(),
    };
}
