using CudaLora.Engine;

namespace CudaLora.Lora;

/// <summary>
/// Layers that read one x: q, k and v, or gate and up. On a CUDA device their LoRA adapters share the passes over x,
/// see <see cref="TensorOps.LoraLinears"/>; with dropout each draws a mask of its own, so they do not.
/// </summary>
internal static class SharedInput
{
    // What the pad of the block matrix holds; more ranks fill the thin kernels without company.
    private const int MostRanks = 64;

    // The fused decoding kernels take as many tokens.
    private const int FewTokens = 16;

    /// <summary>(..., out) of two layers.</summary>
    public static (Tensor First, Tensor Second) Forward(Tensor x, Linear first, Linear second)
    {
        if (!Shares(x, first, second, null))
            return (first.Forward(x), second.Forward(x));
        var (a, b) = (Adapter(first)!, Adapter(second)!);
        var y = x.LoraLinears(a.Projection, b.Projection);
        return (a.Complete(y[0], x), b.Complete(y[1], x));
    }

    /// <summary>(..., out) of three layers, of which two or all may have adapters.</summary>
    public static (Tensor First, Tensor Second, Tensor Third) Forward(
        Tensor x, Linear first, Linear second, Linear third)
    {
        if (Shares(x, first, second, third))
        {
            var (a, b, c) = (Adapter(first)!, Adapter(second)!, Adapter(third)!);
            var y = x.LoraLinears(a.Projection, b.Projection, c.Projection);
            return (a.Complete(y[0], x), b.Complete(y[1], x), c.Complete(y[2], x));
        }
        if (Shares(x, first, third, null))
        {
            var (one, three) = Forward(x, first, third);
            return (one, second.Forward(x), three);
        }
        if (Shares(x, second, third, null))
        {
            var (two, three) = Forward(x, second, third);
            return (first.Forward(x), two, three);
        }
        var (left, right) = Forward(x, first, second);
        return (left, right, third.Forward(x));
    }

    private static bool Shares(Tensor x, Linear first, Linear second, Linear? third)
    {
        if (x.Device.Kind != DeviceKind.Cuda || (!GradMode.Enabled && x.Shape.Rows <= FewTokens)
            || Adapter(first) is not { } a || Adapter(second) is not { } b)
            return false;
        var ranks = RoundedRank(a) + RoundedRank(b);
        if (third is not null)
        {
            if (Adapter(third) is not { } c)
                return false;
            ranks += RoundedRank(c);
        }
        return ranks <= MostRanks;
    }

    private static LoraLinear? Adapter(Linear linear) =>
        linear.Adapter is LoraLinear { SharesInput: true } lora ? lora : null;

    private static int RoundedRank(LoraLinear lora) => (lora.Rank + 7) / 8 * 8;
}
