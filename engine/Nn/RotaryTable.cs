using CudaLora.Kernels.Simd;

namespace CudaLora.Engine;

/// <summary>Cosines and sines of rotary angles for every position up to the context length; one per model.</summary>
public sealed unsafe class RotaryTable : IDisposable
{
    /// <summary>Tables (positions, headDim / 2) for the given frequencies.</summary>
    public RotaryTable(int positions, int headDim, RopeFrequencies frequencies)
    {
        if (headDim % 2 != 0)
            throw new ArgumentException($"[rope] head dimension must be even, but got {headDim}");
        Cos = Tensor.Unscoped(Shape.Of(positions, headDim / 2), DType.F32, Device.Cpu);
        Sin = Tensor.Unscoped(Shape.Of(positions, headDim / 2), DType.F32, Device.Cpu);
        RopeTable.Fill(Cos.Pointer<float>(), Sin.Pointer<float>(), positions, headDim, frequencies);
    }

    /// <summary>Cosines (positions, headDim / 2).</summary>
    public Tensor Cos { get; }

    /// <summary>Sines (positions, headDim / 2).</summary>
    public Tensor Sin { get; }

    /// <summary>Positions the table covers.</summary>
    public int Positions => Cos.Shape[0];

    /// <summary>Releases the tables.</summary>
    public void Dispose()
    {
        Cos.Dispose();
        Sin.Dispose();
    }
}
