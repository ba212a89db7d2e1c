using System.Runtime.InteropServices;
using CudaLora.Kernels.Driver;
using CudaLora.Kernels.Runtime;
using CudaLora.Kernels.Simd;

namespace CudaLora.Kernels.Ops;

/// <summary>
/// LoraThin.ptx (f32) and LoraThinBf16.ptx: the products of a LoRA layer with one side of a few columns. One pass over
/// the large matrix gives S = drop(x) Aᵀ, or dS = dY B together with dBᵀ = Sᵀ dY, or dA = dSᵀ drop(x), as parts that
/// <see cref="Sum"/> adds in a fixed order.
/// </summary>
public static class LoraThin
{
    private const int Block = 256, Ranks = 16, RowStep = 16;

    // Blocks a pass should have: what fills the largest device, and a constant, so that sums never depend on it.
    private const int WantedBlocks = 256;

    /// <summary>
    /// x (rows, cols), u f32 with element (col, rank) at col * UCol + rank * URank or 0, left (rows, ranks) of x's type
    /// or 0, projected (column parts, rows, ranks) f32, reduced (chunks, ranks, cols up to 4) f32; Threshold 0 drops
    /// nothing.
    /// </summary>
    [StructLayout(LayoutKind.Sequential, Pack = 4)]
    public readonly record struct Args(
        ulong X, ulong U, ulong Left, ulong Projected, ulong Reduced, ulong Seed, ulong Stream, ulong StreamAt,
        int Rows, int Cols, int Ldx, int Ranks, int UCol, int URank, int LdLeft, int RowsPerChunk, uint Threshold);

    /// <summary>
    /// from (parts, part rows, pitch) f32, of which rows are summed; out (row, col) at row * OutRow + col * OutCol.
    /// </summary>
    [StructLayout(LayoutKind.Sequential, Pack = 4)]
    public readonly record struct SumArgs(
        ulong From, ulong Out, int Parts, int Rows, int Cols, int Pitch, int PartRows, int OutRow, int OutCol,
        float Scale, int Accumulate, int OutBf16);

    /// <summary>The threshold for a share <paramref name="p"/> of dropped elements, the CPU's.</summary>
    public static uint Threshold(float p) => p == 0 ? 0 : DropoutKernel.Threshold(p);

    /// <summary>Parts of projected: blocks of columns.</summary>
    public static int ColumnParts(int cols, bool bf16) => bf16 ? (cols + 511) / 512 : (cols + 255) / 256;

    /// <summary>Rows a block walks: long enough that parts of reduced are few, short enough to fill a device.</summary>
    public static int RowsPerChunk(int rows, int cols, int ranks, bool bf16)
    {
        int across = ColumnParts(cols, bf16) * ((ranks + Ranks - 1) / Ranks);
        int chunks = Math.Max(1, WantedBlocks / across);
        int perChunk = (rows + chunks - 1) / chunks;
        return Math.Max(8, (perChunk + RowStep - 1) / RowStep) * RowStep;
    }

    /// <summary>Parts of reduced: chunks of rows.</summary>
    public static int RowParts(int rows, int rowsPerChunk) => (rows + rowsPerChunk - 1) / rowsPerChunk;

    /// <summary>Floats in a row of reduced.</summary>
    public static int ReducedPitch(int cols) => (cols + 3) / 4 * 4;

    /// <summary>A block per part, chunk and 16 ranks.</summary>
    public static LaunchShape Shape(int rows, int cols, int ranks, int rowsPerChunk, bool bf16)
    {
        long blocks = (long)RowParts(rows, rowsPerChunk) * ColumnParts(cols, bf16) * ((ranks + Ranks - 1) / Ranks);
        return new((int)blocks, Block, SharedBytes: bf16 ? 57344u : 51200u);
    }

    /// <summary>Queues a pass over x.</summary>
    public static void Pass(CudaStream stream, in Args args, bool bf16) =>
        stream.Context.Modules.Kernel<Args>(
            bf16 ? "LoraThinBf16" : "LoraThin", bf16 ? "lora_thin_bf16" : "lora_thin_f32")
            .Launch(stream, Shape(args.Rows, args.Cols, args.Ranks, args.RowsPerChunk, bf16), args);

    /// <summary>Queues the sum of the parts of a pass.</summary>
    public static void Sum(CudaStream stream, in SumArgs args) =>
        stream.Context.Modules.Kernel<SumArgs>("LoraThin", "lora_thin_sum_f32")
            .Launch(stream, SumShape(args.Rows, args.Cols), args);

    /// <summary>A thread per element of the sum.</summary>
    public static LaunchShape SumShape(int rows, int cols) =>
        new((int)(((long)rows * cols + Block - 1) / Block), Block);
}
