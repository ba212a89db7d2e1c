using CudaLora.Engine;

namespace CudaLora.Lora;

/// <summary>Where a model lives and in which types it computes.</summary>
public sealed record ModelPlacement
{
    /// <summary>The device of parameters and activations; the CPU by default.</summary>
    public Device Device { get; init; } = Device.Cpu;

    /// <summary>
    /// Type of matrices: F32, or BF16 on CUDA where they stay frozen. Norms and biases are always F32.
    /// </summary>
    public DType Weights { get; init; } = DType.F32;

    /// <summary>Type of activations and their gradients: F32, or BF16 on CUDA.</summary>
    public DType Activations { get; init; } = DType.F32;

    /// <summary>
    /// What suits a device: activations in its preferred type, frozen matrices too, matrices that train in F32.
    /// </summary>
    public static ModelPlacement On(Device device, bool trainAll = false) => new()
    {
        Device = device,
        Weights = trainAll ? DType.F32 : device.PreferredType,
        Activations = device.PreferredType,
    };

    /// <summary>Refuses types that the device does not compute in.</summary>
    /// <exception cref="ArgumentException">BF16 on the CPU, or a type that is neither F32 nor BF16.</exception>
    internal void Check()
    {
        foreach (var type in (ReadOnlySpan<DType>)[Weights, Activations])
        {
            if (type != DType.F32 && (type != DType.BF16 || Device.Kind != DeviceKind.Cuda))
                throw new ArgumentException(
                    $"[model_placement] types must be F32, or BF16 on CUDA, but got {type} on {Device.Name}");
        }
    }

    internal ParameterSource Place(ParameterSource source)
    {
        Check();
        return Device.Kind == DeviceKind.Cpu ? source : new DeviceParameters(source, Device, Weights);
    }
}
