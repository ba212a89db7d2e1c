using CudaLora.Engine;
using CudaLora.Kernels.Ops;
using CudaLora.Kernels.Runtime;

namespace CudaLora.Cli;

/// <summary>
/// The kernels of <c>kernels bench</c> as rows: cold times of a GPU, against its copy and its products.
/// </summary>
internal static class DeviceRows
{
    private const string Group = "kernel";

    /// <summary>The kernels whose title holds the text.</summary>
    public static IReadOnlyList<KernelLab> Matching(string? text) =>
        [.. KernelsCommand.Labs.Where(lab => BenchCatalogue.Matches($"{Group}: {lab.Entry}", text))];

    public static (BenchCeiling Ceiling, IReadOnlyList<BenchRow> Rows) Measure(
        BenchRun run, string device, IReadOnlyList<KernelLab> labs, int repeats, CancellationToken cancel)
    {
        var isEmulator = device == "emulator";
        using IDisposable? owned = KernelsBench.Driver(device, out var driver);
        using var context = CudaContext.Open(driver);
        using var timer = new LaunchTimer(context, repeats);
        var name = context.Properties.Name;
        var ceiling = new BenchCeiling(
            name, isEmulator ? 0 : KernelsBench.Products(context, timer).Rate,
            1e9 * KernelsBench.Copy(context, timer, isEmulator));
        var rows = new List<BenchRow>();
        KernelLab[] able = [.. labs.Where(lab => lab.Capability <= context.Properties.Capability)];
        for (var i = 0; i < able.Length; i++)
        {
            cancel.ThrowIfCancellationRequested();
            run.Progress(i, able.Length, able[i].Entry);
            var shape = KernelsBench.Shape(able[i], null, isEmulator);
            var (result, time) = KernelsBench.Time(context, timer, able[i], shape);
            if (time is null) continue;
            if (!result.Agrees) throw new UserErrorException($"{able[i].Entry} differs from its oracle on {name}");
            rows.Add(new BenchRow(
                name, Group, $"{able[i].Entry} {KernelsLab.Text(shape)}", Math.Max(1e-9, time.Cold * 1e-3),
                time.Spread / 2, result.MinimumBytes, result.Flops, 0));
        }
        run.Progress(1, 1, "");
        return (ceiling, rows);
    }
}
