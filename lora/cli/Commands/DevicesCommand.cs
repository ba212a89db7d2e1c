using System.Globalization;
using CudaLora.Engine;
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
            $"cpu    {Device.Cpu.Name}; {Workers.Count} threads in use, {memory:0.0} GiB memory"));
        terminal.Line($"\n--device auto takes: {DeviceChoice.Of("auto").Device.Name}");
        return ExitCode.Success;
    }
}
