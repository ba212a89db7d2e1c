using System.Globalization;
using CudaLora.Engine;
using CudaLora.Kernels.Driver;
using CudaLora.Kernels.Runtime;
using CudaLora.Kernels.Simd;

namespace CudaLora.Cli;

/// <summary><c>cudalora devices</c>.</summary>
internal sealed class DevicesCommand() : CliCommand(
    "devices", "List the devices that can compute.", [], ["cudalora devices"])
{
    protected override int Run(SettingValues values, Terminal terminal)
    {
        var memory = GC.GetGCMemoryInfo().TotalAvailableMemoryBytes / (double)(1L << 30);
        terminal.Line(string.Create(CultureInfo.InvariantCulture,
            $"cpu        {Device.Cpu.Name}; {Workers.Count} threads in use, {memory:0.0} GiB memory"));
        if (DriverProbe.TryFindCuda(out var driver, out var reason))
            ListCuda(terminal, driver);
        else
            terminal.Line($"cuda       not here: {reason}");
        terminal.Line("emulator   the PTX kernels on the CPU, every access checked; only with --device emulator");
        using var automatic = DeviceChoice.Of("auto");
        terminal.Line($"\n--device auto takes: {automatic.Device.Name}");
        return ExitCode.Success;
    }

    private static void ListCuda(Terminal terminal, ICudaDriver driver)
    {
        _ = driver.DriverGetVersion(out var version);
        _ = driver.DeviceGetCount(out var count);
        for (var i = 0; i < count; i++)
        {
            using var device = new CudaDevice(driver, new CudaDeviceOptions { Ordinal = i });
            var properties = device.Context.Properties;
            terminal.Line(string.Create(CultureInfo.InvariantCulture,
                $"cuda:{i}     {properties.Name}, sm_{properties.Capability}, {properties.Multiprocessors} SMs, "
                + $"{properties.MemoryBytes / (double)(1L << 30):0.0} GiB; {driver.Name} (CUDA {version / 1000}."
                + $"{version % 1000 / 10}), matrix products by {device.Gemm.Name}"));
            foreach (var (product, strategy) in device.LoraChoices.Known)
                terminal.Line($"           LoRA {product}: {strategy}");
        }
    }
}
