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
        KernelLab[] labs = names.Count == 0 ? [.. KernelsCommand.Labs] : [.. names.Select(KernelsCommand.Find)];
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
            {
                var (name, rate) = Products(context, timer);
                terminal.Line($"{name}: {Rate(rate / 1e12)} TFLOP/s");
            }
        }
        var table = new KernelsTable(
            "kernel", "shape", "cold us", "warm us", "spread", "GB/s", "of copy", "TFLOP/s", "oracle");
        foreach (KernelLab lab in labs.Where(lab => lab.Capability <= context.Properties.Capability))
            Add(table, context, timer, lab, Shape(lab, shapeText, isEmulator), copy);
        table.Write(terminal, format);
        return ExitCode.Success;
    }

    /// <summary>Compares a kernel with its oracle, then times it; null where the shape launches nothing.</summary>
    public static (LabRun Run, LaunchTime? Time) Time(
        CudaContext context, LaunchTimer timer, KernelLab lab, int[] shape)
    {
        // Compared on its own: the repeats of the timed run add up in kernels that accumulate.
        LabRun run = KernelsLab.Run(lab, context, shape, seed: 1);
        context.Timer = timer;
        KernelsLab.Run(lab, context, shape, seed: 1);
        context.Timer = null;
        return (run, timer.Times.GetValueOrDefault(lab.Entry));
    }

    /// <summary>The shape given, else the kernel's own for a bench; small on the emulator.</summary>
    public static int[] Shape(KernelLab lab, string? text, bool isEmulator) => text is not null
        ? KernelsLab.Numbers("--shape", text)
        : [.. isEmulator ? lab.DefaultShape : lab.BenchShape];

    private static void Add(
        KernelsTable table, CudaContext context, LaunchTimer timer, KernelLab lab, int[] shape, double copy)
    {
        (LabRun run, LaunchTime? time) = Time(context, timer, lab, shape);
        if (time is null) return;
        double bandwidth = run.MinimumBytes / (time.Cold * 1e6);
        table.Add(
            lab.Entry, KernelsLab.Text(shape), Number(time.Cold * 1e3), Number(time.Warm * 1e3),
            time.Spread.ToString("P0", CultureInfo.InvariantCulture), Rate(bandwidth),
            (bandwidth / copy).ToString("P0", CultureInfo.InvariantCulture), Rate(run.Flops / (time.Cold * 1e9)),
            run.Agrees ? "agrees" : "DIFFERS");
    }

    /// <summary>Bytes per nanosecond read and written by a copy within the device.</summary>
    public static double Copy(CudaContext context, LaunchTimer timer, bool isEmulator)
    {
        long bytes = isEmulator ? 1 << 20 : CopyBytes;
        using DeviceBuffer<byte> from = context.Memory.Allocate<byte>(bytes), to = context.Memory.Allocate<byte>(bytes);
        from.Zero();
        LaunchTime time = timer.Measure("copy", () => context.Stream.Copy(from.Pointer, to.Pointer, bytes));
        return 2 * bytes / (time.Cold * 1e6);
    }

    /// <summary>A large bf16 product: what computed it, and its operations per second.</summary>
    public static (string Name, double Rate) Products(CudaContext context, LaunchTimer timer)
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
        return ($"{gemm.Name}, bf16 {m} x {n} x {k}", 2.0 * m * n * k / (time.Cold * 1e-3));
    }

    /// <summary>The driver of <c>--device</c>, and what to dispose of it.</summary>
    public static EmulatedDriver? Driver(string device, out ICudaDriver driver)
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
