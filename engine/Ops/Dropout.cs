using CudaLora.Kernels.Ops;
using CudaLora.Kernels.Simd;

namespace CudaLora.Engine;

/// <summary>
/// Which elements dropout zeroes: a Philox stream, drawn again whenever it is needed and never stored.
/// </summary>
/// <param name="Probability">Share of elements set to zero; 0 switches it off.</param>
/// <param name="Seed">Key of the stream.</param>
/// <param name="Stream">Number of the stream: one per application.</param>
public readonly record struct DropoutMask(float Probability, ulong Seed, ulong Stream)
{
    /// <summary>
    /// Device address of a number (u64) that kernels add to <see cref="Stream"/>, so that a captured graph draws new
    /// masks at every replay; 0 for none.
    /// </summary>
    internal ulong StreamBase { get; init; }

    /// <summary>A mask drawn from <paramref name="random"/>, or none when nothing is dropped.</summary>
    public static DropoutMask Draw(float probability, Generator? random) =>
        probability > 0 && random is not null
            ? new(probability, random.Seed, random.Take(1)) { StreamBase = random.DeviceBase }
            : default;
}

public static partial class TensorOps
{
    /// <summary>
    /// Inverted dropout (Srivastava et al. 2014), F32: kept elements are divided by 1 - p. The mask comes from a Philox
    /// stream and is drawn again in backward instead of being stored.
    /// </summary>
    public static Tensor Dropout(this Tensor x, DropoutMask mask)
    {
        Tensor.RequireFloat("dropout", x);
        if (mask.Probability is < 0 or >= 1)
            throw new ArgumentException($"[dropout] probability must be in [0, 1), but got {mask.Probability}");
        return mask.Probability == 0 ? x : new DropoutOp(x, mask).Run(x.Shape);
    }
}

internal sealed unsafe class DropoutOp(Tensor x, DropoutMask mask) : Op("dropout", x)
{
    protected override void ForwardCpu(Tensor y) => Apply(x, y, false);

    protected override void BackwardCpu(Tensor y, Tensor dy)
    {
        var g = GradOf(x, out var add);
        Apply(dy, g, add);
    }

    protected override void ForwardCuda(Tensor y) => ApplyCuda(x, y, false);

    protected override void BackwardCuda(Tensor y, Tensor dy)
    {
        var g = GradOf(x, out var add);
        ApplyCuda(dy, g, add);
    }

    private void Apply(Tensor from, Tensor to, bool add) =>
        DropoutKernel.Apply(
            from.Pointer<float>(), to.Pointer<float>(), from.Count, mask.Probability, mask.Seed, mask.Stream, add);

    private void ApplyCuda(Tensor from, Tensor to, bool add) =>
        Kernels.Ops.Dropout.Apply(
            Stream(from), from.DeviceAddress, to.DeviceAddress, from.Count, mask.Probability, mask.Seed, mask.Stream,
            mask.StreamBase, add, from.DType == DType.BF16);
}
