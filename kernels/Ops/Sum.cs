using System.Runtime.InteropServices;
using CudaLora.Kernels.Driver;
using CudaLora.Kernels.Runtime;

namespace CudaLora.Kernels.Ops;

/// <summary>
/// Sum.ptx, SumBf16.ptx (along rows), SumColumns.ptx and SumColumnsBf16.ptx (down columns): sums over one axis of an
/// array seen as (outer, axis, inner), in f32 and in an order that depends on the shape alone.
/// </summary>
public static partial class Sum
{
    // Chunks are made until there are about this many warps or blocks; each is long enough to be worth its partial sum.
    private const int Warps = 4096;
    private const int Blocks = 1024;
    private const int LeastElements = 2048;
    private const int LeastRows = 64;

    /// <summary>
    /// Rows: x (rows, cols), y (rows, chunks). Columns: x (outer, rows, cols), y (outer, chunks, cols), outer given by
    /// the grid. HalfY 1: y is bf16. Accumulate 1 adds to y.
    /// </summary>
    [StructLayout(LayoutKind.Sequential, Pack = 4)]
    public readonly record struct Args(
        ulong X, ulong Y, int Rows, int Cols, int Chunk, int Chunks, float Scale, int Vector, int HalfY,
        int Accumulate);

    /// <summary>f32 values that <see cref="Axis"/> needs for the sums of chunks; often 0.</summary>
    public static long ScratchCount(int outer, int axis, int inner, bool bf16)
    {
        (_, int chunks) = Cut(outer, axis, inner, bf16);
        return chunks > 1 ? (long)outer * chunks * inner : 0;
    }

    /// <summary>
    /// Queues y (outer, inner) (+)= scale * sum of x (outer, axis, inner) over axis. x is bf16 or f32, y likewise.
    /// <paramref name="scratch"/> holds <see cref="ScratchCount"/> f32 values.
    /// </summary>
    public static void Axis(
        CudaStream stream, ulong x, bool bf16, int outer, int axis, int inner, float scale, ulong y, bool bf16Y,
        bool accumulate, ulong scratch)
    {
        long cells = (long)outer * inner;
        if (cells == 0) return;
        if (axis == 0)
        {
            if (!accumulate) stream.Zero(new DevicePointer<byte>(y), cells * (bf16Y ? 2 : 4));
            return;
        }
        (int chunk, int chunks) = Cut(outer, axis, inner, bf16);
        if (chunks == 1)
        {
            Launch(stream, x, bf16, outer, axis, inner, chunk, 1, scale, y, bf16Y, accumulate);
            return;
        }
        Launch(stream, x, bf16, outer, axis, inner, chunk, chunks, 1, scratch, false, false);
        Launch(stream, scratch, false, outer, chunks, inner, chunks, 1, scale, y, bf16Y, accumulate);
    }

    // How an axis is cut: the size of a chunk, and how many there are.
    private static (int Chunk, int Chunks) Cut(int outer, int axis, int inner, bool bf16)
    {
        bool rows = inner == 1;
        long wanted = rows ? Warps / Math.Max(1, outer) : Blocks / Math.Max(1, outer * Tiles(inner, bf16));
        int most = (axis + (rows ? LeastElements : LeastRows) - 1) / (rows ? LeastElements : LeastRows);
        int chunks = (int)Math.Clamp(wanted, 1, Math.Max(1, most));
        if (chunks == 1) return (axis, 1);
        // Whole turns of a warp's lanes, or of a block's rows.
        int unit = rows ? 256 : 32;
        int chunk = ((axis + chunks - 1) / chunks + unit - 1) / unit * unit;
        return (chunk, (axis + chunk - 1) / chunk);
    }

    private static long Tiles(int cols, bool bf16) => (cols + 32L * Pointwise.PerVector(bf16) - 1)
        / (32 * Pointwise.PerVector(bf16));

    private static void Launch(
        CudaStream stream, ulong x, bool bf16, int outer, int axis, int inner, int chunk, int chunks, float scale,
        ulong y, bool bf16Y, bool accumulate)
    {
        int perVector = Pointwise.PerVector(bf16);
        if (inner == 1)
        {
            bool vector = x % 16 == 0 && (outer == 1 || axis % perVector == 0);
            var args = new Args(
                x, y, outer, axis, chunk, chunks, scale, Pointwise.Flag(vector), Pointwise.Flag(bf16Y),
                Pointwise.Flag(accumulate));
            Kernel(stream, bf16 ? "SumBf16" : "Sum", bf16 ? "sum_rows_bf16" : "sum_rows_f32")
                .Launch(stream, RowsShape(outer, chunks), args);
            return;
        }
        bool wide = x % 16 == 0 && inner % perVector == 0;
        var columns = new Args(
            x, y, axis, inner, chunk, chunks, scale, Pointwise.Flag(wide), Pointwise.Flag(bf16Y),
            Pointwise.Flag(accumulate));
        Kernel(
            stream, bf16 ? "SumColumnsBf16" : "SumColumns", bf16 ? "sum_columns_bf16" : "sum_columns_f32")
            .Launch(stream, ColumnsShape(outer, chunks, inner, wide ? perVector : 1), columns);
    }

    /// <summary>A warp per chunk of a row.</summary>
    internal static LaunchShape RowsShape(int rows, int chunks) =>
        new(checked((int)(((long)rows * chunks + 7) / 8)), Pointwise.Block);

    /// <summary>A block per 32 vectors of columns and chunk of rows.</summary>
    internal static LaunchShape ColumnsShape(int outer, int chunks, int cols, int perVector) =>
        new(checked((int)((long)outer * chunks * ((cols + 32L * perVector - 1) / (32 * perVector)))), new Dim3(32, 8));

    private static Kernel<Args> Kernel(CudaStream stream, string stem, string entry) =>
        stream.Context.Modules.Kernel<Args>(stem, entry);
}
