using CudaLora.Engine;

namespace CudaLora.Bench.Gpu;

/// <summary>Inputs of the layers. Random values: zeros let the card run faster.</summary>
internal static class RandomTensors
{
    /// <summary>Normal values around 0, owned by the caller.</summary>
    public static Tensor Normal(Device device, DType dtype, Shape shape, ulong seed, float deviation = 1)
    {
        using var host = Tensor.Owned(shape, device: Device.Cpu);
        RandomParameters.Fill(host, Initializer.Normal(deviation), new Generator(seed));
        var tensor = Tensor.Owned(shape, dtype, device);
        tensor.Put(host);
        return tensor;
    }
}
