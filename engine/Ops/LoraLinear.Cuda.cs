using CudaLora.Kernels.Ops;

namespace CudaLora.Engine;

/// <summary>
/// The bodies on a CUDA device. The thin products S = drop(x) Aᵀ, dS = s dY B with dB = s dYᵀ S, and dA = dSᵀ drop(x)
/// are one pass each over x or dY, in fixed order; the large ones run by a <see cref="LoraStrategy"/>. In BF16 S, dS,
/// s B and A are rounded for the products; A, B and their gradients are F32.
/// </summary>
internal unsafe partial class LoraLinearOp
{
    // Elements from row to row of S and dS.
    private int RankPitch => shared?.Shape[^1] ?? CudaProduct.Pitch(x.DType, Rank);

    // Rows of S and dS that a product reads: all, where several layers share them.
    private int Ranks => shared?.Shape[^1] ?? Rank;

    // A and B are kept until backward; x only where it is needed.
    private CudaDevice Cuda => CudaProduct.Of(a);

    private bool HasWgmma => Cuda.Context.Properties.Capability == 90;

    /// <summary>y for a few tokens, when no gradient is wanted; false if this is no such case.</summary>
    private protected virtual bool TryDecode(Tensor y) => LoraDecoding.TryRun(x, weight, bias, a, b, scale, y);

    /// <summary>
    /// W0 (out, in) in the type of the products: itself, a cast copy, or what a 4-bit base is decoded to.
    /// </summary>
    private protected virtual CudaProduct.Factor BaseAs(DType dtype) => CudaProduct.Rows(dtype, weight!);

    /// <summary>The 4-bit base, or null.</summary>
    private protected virtual QuantizedTensor? Codes => null;

    /// <summary>W0 in BF16 into a buffer with wider rows.</summary>
    private protected virtual void PadBase(ulong to, int pitch)
    {
        var (n, k) = (b.Shape[0], a.Shape[1]);
        var w = BaseAs(DType.BF16);
        LoraPack.Pad(Cuda.Stream, n, new(w.Address, to, k, w.Pitch, pitch));
        w.Release();
    }

    protected override void ForwardCuda(Tensor y)
    {
        if (y.Count == 0)
            return;
        if (shared is null && !IsMasked && TryDecode(y))
            return;
        var s = S();
        var product = new LoraProduct(
            false, y.Shape.Rows, b.Shape[0], a.Shape[1], Ranks, bias is not null, Codes is not null);
        Forward(StrategyOf(product, y, null), y, s);
        down?.ReadByOne();
    }

    protected override void BackwardCuda(Tensor y, Tensor dy)
    {
        if (dy.Count == 0)
            return;
        var (rows, needsDs) = (dy.Shape.Rows, shared is null ? NeedsGrad(a) || NeedsGrad(x) : NeedsGrad(shared));
        var small = needsDs && shared is null
            ? dy.Device.Rent((long)rows * RankPitch * x.DType.Size()) // dS (M, r)
            : null;
        var ds = !needsDs ? 0 : small?.DeviceAddress ?? LoraDownOp.GradOfS(shared!).DeviceAddress + SlotBytes;
        if (needsDs || NeedsGrad(b))
        {
            // One pass over dY: dS = s dY B, and dB = s dYᵀ S.
            LoraThinPass.Run(
                dy, Rank, RankPitch, default, scale,
                needsDs ? LoraThinPass.Factor.Columns(b.DeviceAddress, Rank) : default, ds,
                NeedsGrad(b) ? KeptS : 0, new LoraThinPass.Reduction(b, 0, Rank, Transposed: true));
        }
        if (shared is null && NeedsGrad(a))
            LoraThinPass.Run( // dA = dSᵀ drop(x)
                x, Rank, RankPitch, dropout, LoraThinPass.Kept(dropout), default, 0, ds,
                new LoraThinPass.Reduction(a, 0, Rank, Transposed: false));
        LinearOp.WeightGradCuda(x, weight, bias, dy);
        if (NeedsGrad(x) && shared is not null)
        {
            down!.AddLater(this, weight, dy);
        }
        else if (NeedsGrad(x))
        {
            var g = GradOf(x, out var add);
            InputGrad(dy, ds, g, add);
        }
        small?.Release();
    }

    /// <summary>dX (+)= dY W0 + drop'(dS A), given dS: this layer's, or all of those that share it.</summary>
    public void InputGrad(Tensor dy, ulong ds, Tensor g, bool add)
    {
        var product = new LoraProduct(
            true, dy.Shape.Rows, a.Shape[1], b.Shape[0], Ranks, false, Codes is not null);
        InputGrad(StrategyOf(product, g, dy), dy, ds, g, add);
    }

    private ulong SlotBytes => (ulong)(slot * x.DType.Size());

    private ulong KeptS => shared is null ? ScratchDevice<byte>().Address : shared.DeviceAddress + SlotBytes;

    // S = drop(x) Aᵀ (M, r), here or where it is made for several layers.
    private ulong S()
    {
        if (shared is not null)
            return KeptS;
        var s = RentDevice<byte>((long)x.Shape.Rows * RankPitch * x.DType.Size()).Address;
        LoraThinPass.Run(
            x, Rank, RankPitch, dropout, LoraThinPass.Kept(dropout),
            LoraThinPass.Factor.Rows(a.DeviceAddress, a.Shape[1]), s, 0);
        return s;
    }

    private LoraStrategy StrategyOf(LoraProduct product, Tensor to, Tensor? dy)
    {
        if (x.DType != DType.BF16 || (product.Backward && IsMasked))
            return LoraStrategy.Composed;
        return Cuda.TryGetStrategy(product, out var strategy) ? strategy : Timed(product, to, dy);
    }

    private LoraStrategy Timed(LoraProduct product, Tensor to, Tensor? dy)
    {
        var ds = dy is null ? null : dy.Device.Rent((long)product.M * RankPitch * sizeof(ushort));
        using var trial = Tensor.Owned(to.Shape, to.DType, to.Device);
        if (ds is not null)
            to.Device.Clear(ds.Pointer, (long)product.M * RankPitch * sizeof(ushort));
        List<LoraStrategy> all = [LoraStrategy.Composed, LoraStrategy.Fused];
        if (product.Backward ? WidensGradient : WidensInput)
            all.Add(LoraStrategy.BlockMatrix);
        if (HasWgmma)
            all.Add(LoraStrategy.FusedMma);
        if (Codes is not null && QuantizedProduct.Suits(x.DType, product.M))
            all.Add(LoraStrategy.FusedNf4);
        var chosen = Cuda.LoraChoices.Choose(
            product, [.. all], strategy =>
            {
                if (dy is null)
                    Forward(strategy, trial, KeptS);
                else
                    InputGrad(strategy, dy, ds!.DeviceAddress, trial, false);
            });
        ds?.Release();
        return chosen;
    }
}
