using CudaLora.Engine;
using CudaLora.Kernels.Driver;
using CudaLora.Kernels.Emulator;
using CudaLora.Lora;

namespace CudaLora.Cli;

/// <summary>The device a command computes on, why it is that one, and in which types.</summary>
internal sealed class DeviceChoice : IDisposable
{
    private readonly string dtype;

    private DeviceChoice(Device device, string reason, string dtype = "auto")
    {
        (Device, Reason, this.dtype) = (device, reason, dtype);
        if (dtype == "bfloat16" && device.Kind != DeviceKind.Cuda)
            throw new UsageException(
                $"{SharedSettings.ComputeType.Flag} bfloat16 needs a CUDA device, but the device is {device.Name}");
    }

    /// <summary>What <c>--device</c> accepts.</summary>
    public static IReadOnlyList<string> Names { get; } = ["auto", "cpu", "cuda", "emulator"];

    /// <summary>What <c>--lora-strategy</c> accepts.</summary>
    public static IReadOnlyDictionary<string, LoraStrategy> Strategies { get; } =
        new OrderedDictionary<string, LoraStrategy>(StringComparer.Ordinal)
        {
            ["auto"] = LoraStrategy.Auto,
            ["composed"] = LoraStrategy.Composed,
            ["block"] = LoraStrategy.BlockMatrix,
            ["fused"] = LoraStrategy.Fused,
            ["mma"] = LoraStrategy.FusedMma,
        };

    public Device Device { get; }

    public string Reason { get; }

    /// <summary>True if the emulator is asked for.</summary>
    public static bool IsEmulator(SettingValues values) => values.Get(SharedSettings.Device) == "emulator";

    /// <summary>Opens the device of a name.</summary>
    /// <exception cref="UserErrorException">cuda was asked for, and there is none: says why.</exception>
    public static DeviceChoice Of(string name, string dtype = "auto")
    {
        switch (name)
        {
            case "cpu":
                return new DeviceChoice(Device.Cpu, "asked for with --device", dtype);
            case "emulator":
                return new DeviceChoice(
                    new CudaDevice(new EmulatedDriver(), ownsDriver: true), "asked for with --device", dtype);
            default:
                if (DriverProbe.TryFindCuda(out var driver, out var reason))
                    return new DeviceChoice(
                        new CudaDevice(driver, ownsDriver: true),
                        name == "auto" ? $"automatic: {reason}" : "asked for with --device", dtype);
                return name == "auto"
                    ? new DeviceChoice(Device.Cpu, $"automatic: no CUDA here ({reason})", dtype)
                    : throw new UserErrorException($"--device cuda needs a CUDA driver and device: {reason}");
        }
    }

    /// <summary>Where a model goes and its types; <paramref name="trainAll"/> keeps its matrices in F32.</summary>
    public ModelPlacement Placement(bool trainAll = false)
    {
        var natural = ModelPlacement.On(Device, trainAll);
        return dtype switch
        {
            "float32" => natural with { Weights = DType.F32, Activations = DType.F32 },
            _ => natural,
        };
    }

    public void Dispose() => (Device as IDisposable)?.Dispose();

    public override string ToString() => $"device: {Device.Name}, {Reason}";
}
