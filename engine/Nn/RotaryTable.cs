using CudaLora.Kernels.Simd;

namespace CudaLora.Engine;

/// <summary>Cosines and sines of rotary angles for every position up to the context length; one per model.</summary>
public sealed unsafe class RotaryTable : IDisposable
{
    /// <summary>Tables (positions, headDim / 2) for the given frequencies, on the CPU unless told otherwise.</summary>
    public RotaryTable(int positions, int headDim, RopeFrequencies frequencies, Device? device = null)
    {
        if (headDim % 2 != 0)
            throw new ArgumentException($"[rope] head dimension must be even, but got {headDim}");
        var shape = Shape.Of(positions, headDim / 2);
        Cos = Tensor.Unscoped(shape, DType.F32, Device.Cpu);
        Sin = Tensor.Unscoped(shape, DType.F32, Device.Cpu);
        RopeTable.Fill(Cos.Pointer<float>(), Sin.Pointer<float>(), positions, headDim, frequencies);
        if (device is null || device.Kind == DeviceKind.Cpu)
            return;
        try
        {
            Cos = Moved(Cos, device);
            Sin = Moved(Sin, device);
        }
        catch
        {
            Dispose();
            throw;
        }
    }

    /// <summary>Cosines (positions, headDim / 2).</summary>
    public Tensor Cos { get; }

    /// <summary>Sines (positions, headDim / 2).</summary>
    public Tensor Sin { get; }

    /// <summary>Positions the table covers.</summary>
    public int Positions => Cos.Shape[0];

    private static Tensor Moved(Tensor host, Device device)
    {
        var there = Tensor.Unscoped(host.Shape, DType.F32, device);
        there.CopyFrom(host);
        host.Dispose();
        return there;
    }

    /// <summary>Releases the tables.</summary>
    public void Dispose()
    {
        Cos.Dispose();
        Sin.Dispose();
    }
}
