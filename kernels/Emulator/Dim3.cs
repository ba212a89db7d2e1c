namespace CudaLora.Kernels.Emulator;

/// <summary>Extent of a grid, block or cluster.</summary>
/// <param name="X">Fastest dimension.</param>
/// <param name="Y">Second dimension.</param>
/// <param name="Z">Slowest dimension.</param>
public readonly record struct Dim3(int X, int Y = 1, int Z = 1)
{
    /// <summary>Number of elements.</summary>
    public long Count => (long)X * Y * Z;

    /// <summary>The extent <c>(x, 1, 1)</c>.</summary>
    public static implicit operator Dim3(int x) => new(x);

    /// <summary>The extent <c>(x, 1, 1)</c>.</summary>
    public static Dim3 FromInt32(int x) => new(x);

    /// <inheritdoc/>
    public override string ToString() => $"({X}, {Y}, {Z})";

    internal Dim3 At(long index) => new((int)(index % X), (int)(index / X % Y), (int)(index / ((long)X * Y)));
}
