using CudaLora.Kernels.Ops;

namespace CudaLora.Engine;

/// <summary>
/// The thin products of LoRA layers on a CUDA device, a pass over a large matrix each: S = drop(x) Aᵀ, dS = s dY B with
/// dB = s dYᵀ S, and dA = dSᵀ drop(x). Sums have a fixed order.
/// </summary>
internal static class LoraThinPass
{
    /// <summary>A gradient among the reduced rows: A's (r, cols), or B's (cols, r) if transposed.</summary>
    public readonly record struct Reduction(Tensor Of, int First, int Ranks, bool Transposed);

    /// <summary>What is multiplied: element (column, rank) at column * Col + rank * Rank, F32; 0 for nothing.</summary>
    public readonly record struct Factor(ulong Address, int Col, int Rank)
    {
        /// <summary>A (r, cols).</summary>
        public static Factor Rows(ulong address, int cols) => new(address, 1, cols);

        /// <summary>B (cols, r).</summary>
        public static Factor Columns(ulong address, int ranks) => new(address, ranks, 1);
    }

    /// <summary>
    /// projected (rows, ranks) = factor drop(wide) u, and each gradient that is wanted (+)= factor leftᵀ drop(wide).
    /// Rows of projected and left are <paramref name="pitch"/> apart and of wide's type.
    /// </summary>
    public static void Run(
        Tensor wide, int ranks, int pitch, in DropoutMask dropout, float factor, in Factor u, ulong projected,
        ulong left, params ReadOnlySpan<Reduction> reductions)
    {
        var (rows, cols, bf16, device) = (
            wide.Shape.Rows, wide.Shape[^1], wide.DType == DType.BF16, CudaProduct.Of(wide));
        var (across, perChunk) = (LoraThin.ColumnParts(cols, bf16), LoraThin.RowsPerChunk(rows, cols, ranks, bf16));
        var (down, reducedPitch) = (LoraThin.RowParts(rows, perChunk), LoraThin.ReducedPitch(cols));
        var projectedParts = u.Address == 0 ? null : device.Rent((long)across * rows * ranks * sizeof(float));
        var reducedParts = left == 0 ? null : device.Rent((long)down * ranks * reducedPitch * sizeof(float));
        LoraThin.Pass(
            device.Stream,
            new(
                wide.DeviceAddress, u.Address, left, projectedParts?.DeviceAddress ?? 0,
                reducedParts?.DeviceAddress ?? 0, dropout.Seed, dropout.Stream, dropout.StreamBase, rows, cols, cols,
                ranks, u.Col, u.Rank, pitch, perChunk, LoraThin.Threshold(dropout.Probability)),
            bf16);
        if (projectedParts is not null)
        {
            LoraThin.Sum(
                device.Stream,
                new(
                    projectedParts.DeviceAddress, projected, across, rows, ranks, ranks, rows, pitch, 1, factor, 0,
                    bf16 ? 1 : 0));
            projectedParts.Release();
        }
        if (reducedParts is null)
            return;
        foreach (var part in reductions)
        {
            if (!part.Of.RequiresGrad)
                continue;
            var g = part.Of.GradForWrite(out var add);
            var (outRow, outCol) = part.Transposed ? (1, part.Ranks) : (cols, 1);
            var skip = (ulong)part.First * (ulong)reducedPitch * sizeof(float);
            LoraThin.Sum(
                device.Stream,
                new(
                    reducedParts.DeviceAddress + skip, g.DeviceAddress, down, part.Ranks, cols, reducedPitch, ranks,
                    outRow, outCol, factor, add ? 1 : 0, g.DType == DType.BF16 ? 1 : 0));
        }
        reducedParts.Release();
    }

    /// <summary>1 / (1 - p): what kept elements are multiplied with.</summary>
    public static float Kept(in DropoutMask dropout) =>
        dropout.Probability == 0 ? 1 : 1 / (1 - dropout.Probability);

}
