using System.Runtime.CompilerServices;
using System.Runtime.InteropServices;
using CudaLora.Kernels.Driver;
using CudaLora.Kernels.Runtime;
using CudaLora.Kernels.Simd;

namespace CudaLora.Kernels.Ops;

/// <summary>
/// Permute.ptx (f32) and PermuteBf16.ptx: an array with its axes in another order. Where the last axis stays, rows are
/// copied by <see cref="Elementwise"/>; where it moves, tiles are transposed.
/// </summary>
public static class Permute
{
    private const int MaxRank = BroadcastPlan.MaxRank;

    /// <summary>Parameters of both entries; the header of the PTX file says what they mean.</summary>
    [StructLayout(LayoutKind.Sequential, Pack = 4)]
    public readonly record struct Args(
        ulong X, ulong Y, int Lines, int Columns, uint ColumnStrideX, uint LineStrideY, int LineTiles, int ColumnTiles,
        int Loops, int Accumulate, OtherSizes Sizes, OtherStrides StridesX, OtherStrides StridesY);

    /// <summary>Sizes of the axes that are neither lines nor columns, but for the outermost.</summary>
    [InlineArray(MaxRank - 3)]
    public struct OtherSizes
    {
        private uint first;
    }

    /// <summary>Their strides, the outermost's last.</summary>
    [InlineArray(MaxRank - 2)]
    public struct OtherStrides
    {
        private uint first;
    }

    /// <summary>
    /// Queues y (+)= x permuted: axis i of y is axis <paramref name="order"/>[i] of x, whose shape is
    /// <paramref name="dims"/>. The gradient is the inverse permutation.
    /// </summary>
    public static void Run(
        CudaStream stream, ulong x, ReadOnlySpan<int> dims, ReadOnlySpan<int> order, ulong y, bool accumulate,
        bool bf16)
    {
        if (dims.Contains(0)) return;
        Span<int> extent = stackalloc int[MaxRank];
        Span<long> stride = stackalloc long[MaxRank];
        int rank = PermuteKernel.Merge(dims, order, extent, stride), last = rank - 1;
        if (stride[last] == 1)
        {
            Copy(stream, x, extent[..rank], stride, y, accumulate, bf16);
            return;
        }
        // Lines run along x's last axis, columns along y's.
        int line = stride[..rank].IndexOf(1), tile = bf16 ? 64 : 32;
        int lineTiles = (extent[line] + tile - 1) / tile, columnTiles = (extent[last] + tile - 1) / tile;
        long strideY = extent[last], lineStrideY = 0, blocks = (long)lineTiles * columnTiles;
        OtherSizes sizes = default;
        OtherStrides stridesX = default, stridesY = default;
        int others = rank - 2, seen = 0;
        for (int d = last - 1; d >= 0; d--)
        {
            if (d == line)
            {
                lineStrideY = strideY;
            }
            else
            {
                bool outermost = ++seen == others;
                int at = outermost ? MaxRank - 3 : seen - 1;
                if (!outermost) sizes[at] = (uint)extent[d];
                stridesX[at] = checked((uint)stride[d]);
                stridesY[at] = checked((uint)strideY);
                blocks *= extent[d];
            }
            strideY *= extent[d];
        }
        var args = new Args(
            x, y, extent[line], extent[last], checked((uint)stride[last]), checked((uint)lineStrideY), lineTiles,
            columnTiles, Math.Max(0, others - 1), Pointwise.Flag(accumulate), sizes, stridesX, stridesY);
        stream.Context.Modules
            .Kernel<Args>(bf16 ? "PermuteBf16" : "Permute", bf16 ? "permute_bf16" : "permute_f32")
            .Launch(stream, new(checked((int)blocks), new Dim3(32, 8)), args);
    }

    private static void Copy(
        CudaStream stream, ulong x, ReadOnlySpan<int> extent, ReadOnlySpan<long> stride, ulong y, bool accumulate,
        bool bf16)
    {
        var loops = new LoopNest { Rank = extent.Length };
        long dense = 1;
        for (int d = extent.Length - 1; d >= 0; d--)
        {
            loops.Set(d, extent[d], stride[d], 0, dense);
            dense *= extent[d];
        }
        Elementwise.Run(
            stream, ElementwiseOp.Scale, 1, loops, new(x, bf16), default, new(y, bf16), accumulate);
    }
}
