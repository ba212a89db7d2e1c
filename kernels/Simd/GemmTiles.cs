using System.Runtime.CompilerServices;

namespace CudaLora.Kernels.Simd;

/// <summary>Covers a block of C with register tiles.</summary>
internal static unsafe class GemmTiles<TLanes, TVec>
    where TLanes : struct, ILanes<TVec>
    where TVec : struct
{
    private const int MaxTile = 12 * 32;

    // Below this depth the time goes into C, which is then walked along its rows.
    private const int ShallowDepth = 64;

    /// <summary>Columns of a packed panel.</summary>
    public static int PanelWidth => 2 * TLanes.Width;

    /// <summary>
    /// C (rows, cols) = alpha * A (rows, k) B + beta * C, where B lies in ceil(cols / PanelWidth) panels of
    /// k * PanelWidth floats.
    /// </summary>
    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    public static void Multiply(
        int rows, int cols, int k, float* a, nint lda, float* panels, float alpha, float beta, float* c, nint ldc)
    {
        int height = Height(rows);
        nint panel = (nint)k * PanelWidth;
        if (k <= ShallowDepth)
        {
            for (int i = 0; i < rows; i += height)
                for (int j = 0; j < cols; j += PanelWidth)
                    One(
                        Math.Min(height, rows - i), Math.Min(PanelWidth, cols - j), k, a + (i * lda), lda,
                        panels + (j / PanelWidth * panel), alpha, beta, c + (i * ldc) + j, ldc);
            return;
        }
        for (int j = 0; j < cols; j += PanelWidth)
        {
            int width = Math.Min(PanelWidth, cols - j);
            for (int i = 0; i < rows; i += height)
                One(
                    Math.Min(height, rows - i), width, k, a + (i * lda), lda,
                    panels, alpha, beta, c + (i * ldc) + j, ldc);
            panels += panel;
        }
    }

    /// <summary>
    /// Rows per tile when the tiles share the rows evenly: a tile of one or two rows starves the units.
    /// </summary>
    public static int Height(int rows)
        => GemmPlan.Ceil(rows, Math.Max(1, GemmPlan.Ceil(rows, TLanes.TileRows)));

    /// <summary>One tile of at most TileRows rows and PanelWidth columns. B is a packed panel.</summary>
    [SkipLocalsInit]
    public static void One(
        int rows, int cols, int k, float* a, nint lda, float* panel, float alpha, float beta, float* c, nint ldc)
    {
        if (cols == PanelWidth)
        {
            Full(rows, k, a, lda, panel, PanelWidth, alpha, beta, c, ldc);
            return;
        }
        float* tile = stackalloc float[MaxTile];
        Full(rows, k, a, lda, panel, PanelWidth, alpha, 0, tile, PanelWidth);
        Merge(tile, PanelWidth, rows, cols, beta, c, ldc);
    }

    // The part of a tile that lies inside C.
    private static void Merge(float* tile, int width, int rows, int cols, float beta, float* c, nint ldc)
    {
        for (int i = 0; i < rows; i++)
        {
            float* from = tile + (i * width);
            float* to = c + (i * ldc);
            for (int j = 0; j < cols; j++)
                to[j] = beta == 0 ? from[j] : from[j] + (beta * to[j]);
        }
    }

    /// <summary>One tile with all its columns; B has any row stride.</summary>
    public static void Full(
        int rows, int k, float* a, nint lda, float* b, nint ldb, float alpha, float beta, float* c, nint ldc)
    {
        switch (rows)
        {
            case 1: Tile<TLanes, TVec, One, Two>.Run(k, a, lda, b, ldb, alpha, beta, c, ldc); break;
            case 2: Tile<TLanes, TVec, Two, Two>.Run(k, a, lda, b, ldb, alpha, beta, c, ldc); break;
            case 3: Tile<TLanes, TVec, Three, Two>.Run(k, a, lda, b, ldb, alpha, beta, c, ldc); break;
            case 4: Tile<TLanes, TVec, Four, Two>.Run(k, a, lda, b, ldb, alpha, beta, c, ldc); break;
            case 5: Tile<TLanes, TVec, Five, Two>.Run(k, a, lda, b, ldb, alpha, beta, c, ldc); break;
            case 6: Tile<TLanes, TVec, Six, Two>.Run(k, a, lda, b, ldb, alpha, beta, c, ldc); break;
            case 7: Tile<TLanes, TVec, Seven, Two>.Run(k, a, lda, b, ldb, alpha, beta, c, ldc); break;
            case 8: Tile<TLanes, TVec, Eight, Two>.Run(k, a, lda, b, ldb, alpha, beta, c, ldc); break;
            case 9: Tile<TLanes, TVec, Nine, Two>.Run(k, a, lda, b, ldb, alpha, beta, c, ldc); break;
            case 10: Tile<TLanes, TVec, Ten, Two>.Run(k, a, lda, b, ldb, alpha, beta, c, ldc); break;
            case 11: Tile<TLanes, TVec, Eleven, Two>.Run(k, a, lda, b, ldb, alpha, beta, c, ldc); break;
            default: Tile<TLanes, TVec, Twelve, Two>.Run(k, a, lda, b, ldb, alpha, beta, c, ldc); break;
        }
    }

    /// <summary>
    /// C (rows, cols) for cols up to one vector; B is one panel (k, Width). Twelve rows at once keep the units busy.
    /// </summary>
    [SkipLocalsInit]
    public static void Narrow(
        int rows, int cols, int k, float* a, nint lda, float* panel, float alpha, float beta, float* c, nint ldc)
    {
        int width = TLanes.Width;
        float* tile = stackalloc float[MaxTile];
        while (rows > 0)
        {
            int height = rows >= 12 ? 12 : rows >= 6 ? 6 : rows >= 3 ? 3 : 1;
            bool whole = cols == width;
            float* to = whole ? c : tile;
            nint stride = whole ? ldc : width;
            float keep = whole ? beta : 0;
            switch (height)
            {
                case 12: Tile<TLanes, TVec, Twelve, One>.Run(k, a, lda, panel, width, alpha, keep, to, stride); break;
                case 6: Tile<TLanes, TVec, Six, One>.Run(k, a, lda, panel, width, alpha, keep, to, stride); break;
                case 3: Tile<TLanes, TVec, Three, One>.Run(k, a, lda, panel, width, alpha, keep, to, stride); break;
                default: Tile<TLanes, TVec, One, One>.Run(k, a, lda, panel, width, alpha, keep, to, stride); break;
            }
            if (!whole)
                Merge(tile, width, height, cols, beta, c, ldc);
            rows -= height;
            a += height * lda;
            c += height * ldc;
        }
    }

    /// <summary>At most 3 rows and 4 columns where both operands run along k.</summary>
    public static void Dot(
        int rows, int cols, int k, float* a, nint lda, float* b, nint ldb, float alpha, float beta, float* c, nint ldc)
    {
        if (cols == 4)
        {
            switch (rows)
            {
                case 1: DotTile<TLanes, TVec, One, Four>.Run(k, a, lda, b, ldb, alpha, beta, c, ldc); break;
                case 2: DotTile<TLanes, TVec, Two, Four>.Run(k, a, lda, b, ldb, alpha, beta, c, ldc); break;
                default: DotTile<TLanes, TVec, Three, Four>.Run(k, a, lda, b, ldb, alpha, beta, c, ldc); break;
            }
            return;
        }
        for (int j = 0; j < cols; j++, b += ldb, c++)
        {
            switch (rows)
            {
                case 1: DotTile<TLanes, TVec, One, One>.Run(k, a, lda, b, ldb, alpha, beta, c, ldc); break;
                case 2: DotTile<TLanes, TVec, Two, One>.Run(k, a, lda, b, ldb, alpha, beta, c, ldc); break;
                default: DotTile<TLanes, TVec, Three, One>.Run(k, a, lda, b, ldb, alpha, beta, c, ldc); break;
            }
        }
    }
}
