using System.Text.Json.Nodes;
using CudaLora.Cli;
using CudaLora.Engine;
using CudaLora.Kernels.Ops;
using CudaLora.Kernels.Runtime;

namespace CudaLora.Bench.Gpu;

/// <summary>
/// Every kernel of the lab, compared with its oracle and timed cold and warm, against the copy and the product measured
/// in the same run. What it moves against the least is counted by the emulator: cudalora kernels report.
/// </summary>
internal static class KernelTimes
{
    public static void Run(CudaDevice device, GpuReport report, GpuSizes sizes)
    {
        var context = device.Context;
        var isEmulator = sizes == GpuSizes.Tiny;
        using var timer = new LaunchTimer(context, isEmulator ? 2 : 50);
        var copy = KernelsBench.Copy(context, timer, isEmulator);
        var (library, product) = isEmulator ? ("-", 0.0) : KernelsBench.Products(context, timer);
        report.Add("Ceilings", new JsonObject
        {
            ["copy_gb_per_second"] = copy,
            ["product"] = library,
            ["product_tflops"] = product * 1e-12,
        });
        // On the emulator one of a stem is enough to show that it runs.
        var labs = KernelLab.All.Where(lab => lab.Capability <= context.Properties.Capability);
        foreach (var lab in isEmulator ? labs.DistinctBy(lab => lab.Stem) : labs)
        {
            var shape = KernelsBench.Shape(lab, null, isEmulator);
            var (run, time) = KernelsBench.Time(context, timer, lab, shape);
            if (time is null)
                continue;
            var (bytes, flops) = (run.MinimumBytes / (time.Cold * 1e6), run.Flops / (time.Cold * 1e9));
            report.Add("Kernels", new JsonObject
            {
                ["kernel"] = lab.Entry,
                ["shape"] = KernelsLab.Text(shape),
                ["cold_us"] = time.Cold * 1e3,
                ["warm_us"] = time.Warm * 1e3,
                ["gb_per_second"] = bytes,
                ["of_copy"] = bytes / copy,
                ["tflops"] = flops,
                ["of_product"] = product > 0 ? flops * 1e12 / product : null,
                ["oracle"] = run.Agrees ? "agrees" : "DIFFERS",
            });
        }
    }
}
