namespace CudaLora.Kernels.Simd;

/// <summary>How work is cut into items. Sizes depend on the shape alone, never on the number of threads.</summary>
internal static class Split
{
    /// <summary>Floats one item handles: small enough to balance, large enough to pay for a hand-over.</summary>
    public const int Grain = 16384;

    /// <summary>Rows of <paramref name="cols"/> floats in one item.</summary>
    public static int Rows(int cols) => Math.Max(1, Grain / Math.Max(1, cols));

    /// <summary>Number of items of <paramref name="per"/> that cover <paramref name="total"/>.</summary>
    public static int Items(long total, int per) => checked((int)((total + per - 1) / per));
}
