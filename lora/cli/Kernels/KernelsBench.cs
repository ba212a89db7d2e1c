using System.Globalization;
using CudaLora.Engine;
using CudaLora.Kernels.Blas;
using CudaLora.Kernels.Driver;
using CudaLora.Kernels.Emulator;
using CudaLora.Kernels.Ops;
using CudaLora.Kernels.Runtime;

namespace CudaLora.Cli;

/// <summary>
/// <c>kernels bench</c>: device times of kernels against the copy bandwidth measured in the same run.
/// </summary>
internal static class KernelsBench
{
    private const long CopyBytes = 1L << 30;
    private const int GemmSize = 8192;

    public static int Run(
        Terminal terminal, IReadOnlyList<string> names, string? shapeText, string device, int repeats, string format)
    {
        KernelLab[] labs = names.Count == 0 ? [.. KernelLab.All] : [.. names.Select(KernelsCommand.Find)];
        bool isEmulator = device == "emulator";
        using IDisposable? owned = Driver(device, out ICudaDriver driver);
        using CudaContext context = CudaContext.Open(driver);
        using var timer = new LaunchTimer(context, repeats);
        double copy = Copy(context, timer, isEmulator);
        if (format == "text")
        {
            terminal.Line(
                $"{context.Properties.Name}, {driver.Name}; {repeats} repeats, medians; cold: L2 overwritten");
            terminal.Line($"copy within the device: {Rate(copy)} GB/s read and written");
            if (isEmulator)
                terminal.Line("times are the emulator's: they say nothing about a GPU, only that the bench runs");
            else
                Products(terminal, context, timer);
        }
        var table = new KernelsTable(
            "kernel", "shape", "cold us", "warm us", "spread", "GB/s", "of copy", "TFLOP/s", "oracle");
        foreach (KernelLab lab in labs.Where(lab => lab.Capability <= context.Properties.Capability))
            Add(table, context, timer, lab, Shape(lab, shapeText, isEmulator), copy);
        table.Write(terminal, format);
        return ExitCode.Success;
    }

    private static int[] Shape(KernelLab lab, string? text, bool isEmulator) => text is not null
        ? KernelsLab.Numbers("--shape", text)
        : [.. isEmulator ? lab.DefaultShape : lab.BenchShape];

    private static void Add(
        KernelsTable table, CudaContext context, LaunchTimer timer, KernelLab lab, int[] shape, double copy)
    {
        // Compared on its own: the repeats of the timed run add up in kernels that accumulate.
        LabRun run = KernelsLab.Run(lab, context, shape, seed: 1);
        context.Timer = timer;
        KernelsLab.Run(lab, context, shape, seed: 1);
        context.Timer = null;
        if (!timer.Times.TryGetValue(lab.Entry, out LaunchTime? time)) return;
        double bandwidth = run.MinimumBytes / (time.Cold * 1e6);
        table.Add(
            lab.Entry, KernelsLab.Text(shape), Number(time.Cold * 1e3), Number(time.Warm * 1e3),
            time.Spread.ToString("P0", CultureInfo.InvariantCulture), Rate(bandwidth),
            (bandwidth / copy).ToString("P0", CultureInfo.InvariantCulture), Rate(run.Flops / (time.Cold * 1e9)),
            run.Agrees ? "agrees" : "DIFFERS");
    }

    private static double Copy(CudaContext context, LaunchTimer timer, bool isEmulator)
    {
        long bytes = isEmulator ? 1 << 20 : CopyBytes;
        using DeviceBuffer<byte> from = context.Memory.Allocate<byte>(bytes), to = context.Memory.Allocate<byte>(bytes);
        from.Zero();
        LaunchTime time = timer.Measure("copy", () => context.Stream.Copy(from.Pointer, to.Pointer, bytes));
        return 2 * bytes / (time.Cold * 1e6);
    }

    private static void Products(Terminal terminal, CudaContext context, LaunchTimer timer)
    {
        using IGemm gemm = context.Driver.CreateGemm(context);
        (int m, int n, int k) = (GemmSize, GemmSize / 2, GemmSize / 2);
        var inputs = new LabInputs(context, 1);
        using DeviceBuffer<ushort> a = inputs.DeviceBf16(inputs.Values(m * k));
        using DeviceBuffer<ushort> b = inputs.DeviceBf16(inputs.Values(n * k));
        using DeviceBuffer<ushort> c = inputs.Empty<ushort>((long)m * n);
        var shape = GemmShape.Dense(m, n, k, false, true, GemmType.BF16, GemmType.BF16);
        LaunchTime time = timer.Measure("gemm", () => gemm.Run(
            context.Stream, shape, a.Pointer.Address, b.Pointer.Address, c.Pointer.Address));
        terminal.Line($"{gemm.Name}, bf16 {m} x {n} x {k}: {Rate(2.0 * m * n * k / (time.Cold * 1e9))} TFLOP/s");
    }

    private static EmulatedDriver? Driver(string device, out ICudaDriver driver)
    {
        switch (device)
        {
            case "emulator":
                var emulated = new EmulatedDriver(new EmulatorOptions { Checks = false });
                driver = emulated;
                return emulated;
            case "cuda":
                driver = DriverProbe.TryFindCuda(out ICudaDriver? cuda, out string reason)
                    ? cuda
                    : throw new UserErrorException($"--device cuda: {reason}");
                return null;
            default:
                throw new UsageException($"--device must be emulator or cuda, but got '{device}'");
        }
    }

    private static string Number(double value) => value.ToString("0.00", CultureInfo.InvariantCulture);

    private static string Rate(double value) =>
        value.ToString(value < 10 ? "0.00" : "0", CultureInfo.InvariantCulture);
}
