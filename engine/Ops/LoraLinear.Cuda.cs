using CudaLora.Kernels.Ops;

namespace CudaLora.Engine;

/// <summary>
/// The bodies on a CUDA device. The thin products S = drop(x) Aᵀ, dS = s dY B with dB = s dYᵀ S, and dA = dSᵀ drop(x)
/// are one pass each over x or dY, in fixed order; the large ones run by a <see cref="LoraStrategy"/>. In BF16 S, dS,
/// s B and A are rounded for the products; A, B and their gradients are F32.
/// </summary>
internal unsafe partial class LoraLinearOp
{
    // Rows of S and dS are whole units of 16 bytes in BF16.
    private int RankPitch => x.DType == DType.BF16 ? (Rank + 7) / 8 * 8 : Rank;

    private float Kept => dropout.Probability == 0 ? 1 : 1 / (1 - dropout.Probability);

    // A and B are kept until backward; x only where it is needed.
    private CudaDevice Cuda => CudaProduct.Of(a);

    private bool HasWgmma => Cuda.Context.Properties.Capability == 90;

    /// <summary>y for a few tokens, when no gradient is wanted; false if this is no such case.</summary>
    private protected virtual bool TryDecode(Tensor y) => LoraDecoding.TryRun(x, weight, bias, a, b, scale, y);

    /// <summary>
    /// W0 (out, in) in the type of the products: itself, a cast copy, or what a 4-bit base is decoded to.
    /// </summary>
    private protected virtual CudaProduct.Factor BaseAs(DType dtype) => CudaProduct.As(
        dtype, weight ?? throw new NotSupportedException($"[{Name}] with a 4-bit base runs on the CPU only"));

    /// <summary>The 4-bit base, or null.</summary>
    private protected virtual QuantizedTensor? Codes => null;

    /// <summary>W0 in BF16 into a buffer with wider rows.</summary>
    private protected virtual void PadBase(ulong to, int pitch)
    {
        var (n, k) = (b.Shape[0], a.Shape[1]);
        var w = BaseAs(DType.BF16);
        LoraPack.Pad(Cuda.Stream, n, new(w.Address, to, k, k, pitch));
        w.Release();
    }

    protected override void ForwardCuda(Tensor y)
    {
        if (y.Count == 0)
            return;
        RequireAdapterType();
        if (dropout.Probability == 0 && TryDecode(y))
            return;
        var s = (ulong)RentScratch<byte>((long)y.Shape.Rows * RankPitch * x.DType.Size()); // S = drop(x) Aᵀ (M, r)
        Thin(x, a, 1, a.Shape[1], true, 0, null, s, Kept);
        var product = new LoraProduct(false, y.Shape.Rows, b.Shape[0], a.Shape[1], Rank, bias is not null,
            Codes is not null);
        Forward(StrategyOf(product, y, null), y, s);
    }

    protected override void BackwardCuda(Tensor y, Tensor dy)
    {
        if (dy.Count == 0)
            return;
        var (rows, needsDs) = (dy.Shape.Rows, NeedsGrad(a) || NeedsGrad(x));
        var small = needsDs ? dy.Device.Rent((long)rows * RankPitch * x.DType.Size()) : null; // dS (M, r)
        var ds = small is null ? 0 : (ulong)small.Pointer;
        if (needsDs || NeedsGrad(b))
        {
            // One pass over dY: dS = s dY B, and dB = s dYᵀ S.
            Thin(dy, needsDs ? b : null, Rank, 1, false, NeedsGrad(b) ? (ulong)Scratch<byte>() : 0, b, ds, scale);
        }
        if (NeedsGrad(a))
            Thin(x, null, 0, 0, true, ds, a, 0, Kept); // dA = dSᵀ drop(x)
        LinearOp.WeightGradCuda(x, weight, bias, dy);
        if (NeedsGrad(x))
        {
            var g = GradOf(x, out var add);
            var product = new LoraProduct(true, rows, a.Shape[1], b.Shape[0], Rank, false, Codes is not null);
            InputGrad(StrategyOf(product, g, dy), dy, ds, g, add);
        }
        small?.Release();
    }

    // A pass over wide (rows, cols): projected = drop(wide) u to `projected` (rows, r), and leftᵀ drop(wide) to the
    // gradient of `reduced`, A (r, cols) or B (cols, r).
    private void Thin(
        Tensor wide, Tensor? u, int uCol, int uRank, bool drops, ulong left, Tensor? reduced, ulong projected,
        float factor)
    {
        var (rows, cols, bf16) = (wide.Shape.Rows, wide.Shape[^1], wide.DType == DType.BF16);
        var device = Cuda;
        var (across, perChunk) = (LoraThin.ColumnParts(cols, bf16), LoraThin.RowsPerChunk(rows, cols, Rank, bf16));
        var (down, pitch) = (LoraThin.RowParts(rows, perChunk), LoraThin.ReducedPitch(cols));
        var projectedParts = u is null ? null : device.Rent((long)across * rows * Rank * sizeof(float));
        var reducedParts = left == 0 ? null : device.Rent((long)down * Rank * pitch * sizeof(float));
        var threshold = drops ? LoraThin.Threshold(dropout.Probability) : 0;
        LoraThin.Pass(
            device.Stream,
            new(
                wide.DeviceAddress, u?.DeviceAddress ?? 0, left, At(projectedParts), At(reducedParts), dropout.Seed,
                dropout.Stream, dropout.StreamBase, rows, cols, cols, Rank, uCol, uRank, RankPitch, perChunk,
                threshold),
            bf16);
        if (projectedParts is not null)
        {
            LoraThin.Sum(
                device.Stream,
                new(
                    At(projectedParts), projected, across, rows, Rank, Rank, RankPitch, 1, factor, 0, bf16 ? 1 : 0));
            projectedParts.Release();
        }
        if (reducedParts is null)
            return;
        var g = GradOf(reduced!, out var add);
        var (outRow, outCol) = reduced == a ? (cols, 1) : (1, Rank);
        LoraThin.Sum(
            device.Stream,
            new(
                At(reducedParts), g.DeviceAddress, down, Rank, cols, pitch, outRow, outCol, factor, add ? 1 : 0,
                g.DType == DType.BF16 ? 1 : 0));
        reducedParts.Release();
    }

    private static ulong At(Storage? storage) => storage is null ? 0 : (ulong)storage.Pointer;

    private void RequireAdapterType()
    {
        if (a.DType != DType.F32 || b.DType != DType.F32)
            throw new ArgumentException($"[lora_linear] A and B must be F32, but got A {a.DType}, B {b.DType}");
    }

    private LoraStrategy StrategyOf(LoraProduct product, Tensor to, Tensor? dy)
    {
        if (x.DType != DType.BF16)
            return LoraStrategy.Composed;
        var device = Cuda;
        if (device.LoraStrategy != LoraStrategy.Auto)
            return device.LoraStrategy;
        return device.LoraChoices.TryGet(product, out var chosen)
            ? chosen
            : Timed(device.LoraChoices, product, to, dy);
    }

    // In a method of its own: the closure is made for a new shape alone.
    private LoraStrategy Timed(LoraChoices choices, LoraProduct product, Tensor to, Tensor? dy)
    {
        var ds = dy is null ? null : dy.Device.Rent((long)product.M * RankPitch * sizeof(ushort));
        using var trial = Tensor.Owned(to.Shape, to.DType, to.Device);
        if (ds is not null)
            to.Device.Clear(ds.Pointer, (long)product.M * RankPitch * sizeof(ushort));
        List<LoraStrategy> all = [LoraStrategy.Composed, LoraStrategy.BlockMatrix, LoraStrategy.Fused];
        if (HasWgmma)
            all.Add(LoraStrategy.FusedMma);
        if (Codes is not null && QuantizedProduct.Suits(x.DType, product.M))
            all.Add(LoraStrategy.FusedNf4);
        var chosen = choices.Choose(
            product, [.. all], strategy =>
            {
                if (dy is null)
                    Forward(strategy, trial, (ulong)Scratch<byte>());
                else
                    InputGrad(strategy, dy, At(ds), trial, false);
            });
        ds?.Release();
        return chosen;
    }
}
