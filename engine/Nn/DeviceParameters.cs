namespace CudaLora.Engine;

/// <summary>
/// Puts the parameters of another source on a device, one at a time: matrices in a type of choice, vectors (norms,
/// biases) always in F32.
/// </summary>
/// <param name="source">Gives the values on the CPU.</param>
/// <param name="device">Where they go.</param>
/// <param name="matrices">F32, or BF16 for frozen matrices on a CUDA device.</param>
public sealed class DeviceParameters(ParameterSource source, Device device, DType matrices) : ParameterSource
{
    /// <inheritdoc/>
    public override Device Device => device;

    /// <inheritdoc/>
    public override bool Has(ParameterPath path) => source.Has(path);

    /// <inheritdoc/>
    public override Tensor Get(
        ParameterPath path, Shape shape, Initializer initializer, bool storedTransposed = false)
    {
        var host = source.Get(path, shape, initializer, storedTransposed);
        if (device.Kind == DeviceKind.Cpu)
            return host;
        Tensor there;
        using (host)
        {
            there = Tensor.Unscoped(shape, shape.Rank > 1 ? matrices : DType.F32, device);
            there.Put(host);
        }
        // A pool would keep the largest matrix of every size on the host for ever.
        Device.Cpu.TrimPool();
        return there;
    }

    /// <inheritdoc/>
    public override QuantizedTensor? GetQuantized(
        ParameterPath path, Shape shape, Initializer initializer, bool storedTransposed = false)
    {
        var host = source.GetQuantized(path, shape, initializer, storedTransposed);
        if (host is null || device.Kind == DeviceKind.Cpu)
            return host;
        QuantizedTensor there;
        using (host)
            there = host.To(device);
        Device.Cpu.TrimPool();
        return there;
    }
}
