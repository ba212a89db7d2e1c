using System.Runtime.InteropServices;
using CudaLora.Kernels.Runtime;

namespace CudaLora.Kernels.Ops;

/// <summary>
/// Swiglu.ptx (f32) and SwigluBf16.ptx: y = silu(gate) up (Shazeer 2020), and both gradients. Pitches are the elements
/// from one row to the next, so that gate and up may be halves of one matrix and y a part of a wider one.
/// </summary>
public static class Swiglu
{
    /// <summary>gate, up, y (rows, cols).</summary>
    [StructLayout(LayoutKind.Sequential, Pack = 4)]
    public readonly record struct ForwardArgs(
        ulong Gate, ulong Up, ulong Y, int Units, int RowUnits, int Pitch, int YPitch, int Vector);

    /// <summary>gate, up, dy, dgate, dup (rows, cols); dgate or dup 0: not wanted.</summary>
    [StructLayout(LayoutKind.Sequential, Pack = 4)]
    public readonly record struct BackwardArgs(
        ulong Gate, ulong Up, ulong Dy, ulong Dgate, ulong Dup, int Units, int RowUnits, int Pitch, int DyPitch,
        int GradPitch, int Vector, int AccumulateGate, int AccumulateUp);

    /// <summary>Queues y = silu(gate) up.</summary>
    public static void Forward(
        CudaStream stream, ulong gate, ulong up, int pitch, ulong y, int yPitch, int rows, int cols, bool bf16)
    {
        if ((long)rows * cols == 0) return;
        var (units, rowUnits, vector) = Units(rows, cols, gate | up | y, (uint)pitch | (uint)yPitch, bf16);
        Kernel<ForwardArgs>(stream, bf16, "swiglu_forward_f32", "swiglu_forward_bf16").Launch(
            stream, Pointwise.Grid((uint)units),
            new(gate, up, y, units, rowUnits, pitch, yPitch, Pointwise.Flag(vector)));
    }

    /// <summary>Queues dgate (+)= dy up silu'(gate) and dup (+)= dy silu(gate); address 0 leaves one out.</summary>
    public static void Backward(
        CudaStream stream, ulong gate, ulong up, int pitch, ulong dy, int dyPitch, ulong dgate, bool accumulateGate,
        ulong dup, bool accumulateUp, int gradPitch, int rows, int cols, bool bf16)
    {
        if ((long)rows * cols == 0) return;
        var (units, rowUnits, vector) = Units(
            rows, cols, gate | up | dy | dgate | dup, (uint)pitch | (uint)dyPitch | (uint)gradPitch, bf16);
        Kernel<BackwardArgs>(stream, bf16, "swiglu_backward_f32", "swiglu_backward_bf16").Launch(
            stream, Pointwise.Grid((uint)units),
            new(
                gate, up, dy, dgate, dup, units, rowUnits, pitch, dyPitch, gradPitch, Pointwise.Flag(vector),
                Pointwise.Flag(accumulateGate), Pointwise.Flag(accumulateUp)));
    }

    // Vectors where every row of every operand begins at a multiple of 16 bytes and holds whole vectors.
    private static (int Units, int RowUnits, bool Vector) Units(
        int rows, int cols, ulong addresses, uint pitches, bool bf16)
    {
        int perVector = Pointwise.PerVector(bf16);
        bool vector = addresses % 16 == 0 && ((uint)cols | pitches) % perVector == 0;
        int rowUnits = vector ? cols / perVector : cols;
        return ((int)checked((uint)((long)rows * rowUnits)), rowUnits, vector);
    }

    // Whole names, so that a launch builds no string.
    private static Kernel<TArgs> Kernel<TArgs>(CudaStream stream, bool bf16, string single, string half)
        where TArgs : unmanaged =>
        stream.Context.Modules.Kernel<TArgs>(bf16 ? "SwigluBf16" : "Swiglu", bf16 ? half : single);
}
