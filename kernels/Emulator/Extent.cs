using CudaLora.Kernels.Driver;

namespace CudaLora.Kernels.Emulator;

/// <summary>Extent of a grid, block or cluster, or a position in one, in signed arithmetic.</summary>
internal readonly record struct Extent(int X, int Y = 1, int Z = 1)
{
    public long Count => (long)X * Y * Z;

    public static Extent From(Dim3 d) =>
        new((int)Math.Min(d.X, int.MaxValue), (int)Math.Min(d.Y, int.MaxValue), (int)Math.Min(d.Z, int.MaxValue));

    public Dim3 ToDim3() => new((uint)X, (uint)Y, (uint)Z);

    public Extent At(long index) => new((int)(index % X), (int)(index / X % Y), (int)(index / ((long)X * Y)));

    public override string ToString() => $"({X}, {Y}, {Z})";
}
