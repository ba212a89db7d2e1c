using CudaLora.Engine;

namespace CudaLora.Cli;

/// <summary>The device a command computes on, and why it is that one.</summary>
internal sealed record DeviceChoice(Device Device, string Reason)
{
    /// <summary>What <c>--device</c> accepts.</summary>
    public static IReadOnlyList<string> Names { get; } = ["auto", "cpu"];

    public static DeviceChoice Of(string name) => name == "auto"
        ? new DeviceChoice(Device.Cpu, "automatic: the only device of this build")
        : new DeviceChoice(Device.Cpu, "asked for with --device");

    public override string ToString() => $"device: {Device.Name}, {Reason}";
}
