using CudaLora.Kernels.Ops;

namespace CudaLora.Engine;

/// <summary>
/// 4-bit layers, with or without an adapter, for a few tokens on a CUDA device: the codes are read once and decoded in
/// registers. For inference; what backward needs is not kept.
/// </summary>
internal static class QuantizedDecoding
{
    /// <summary>Computes y when this is the way for it; y (rows, out) BF16, a and b null without an adapter.</summary>
    public static bool TryRun(
        Tensor x, QuantizedTensor weight, Tensor? bias, Tensor? a, Tensor? b, float scale, Tensor y)
    {
        if (GradMode.Enabled || x.DType != DType.BF16 || y.Shape.Rows > Nf4Decode.MaxTokens || y.Count == 0
            || bias is { DType: not DType.F32 })
            return false;
        var (tokens, outputs, inputs) = (y.Shape.Rows, weight.Shape[0], weight.Shape[1]);
        var (stream, ranks) = (CudaProduct.Of(y).Stream, a is null ? 0 : a.Shape[0]);
        var s = ranks == 0 ? null : y.Device.Rent((long)tokens * ranks * sizeof(float)); // x Aᵀ (tokens, r)
        var sAt = s?.DeviceAddress ?? 0;
        if (ranks > 0)
            LoraDecode.Down(stream, tokens, new(x.DeviceAddress, a!.DeviceAddress, sAt, inputs, inputs, ranks));
        var w = weight.DeviceView;
        Nf4Decode.Launch(
            stream,
            new(
                w.Codes, w.Codebook, w.AbsMax, w.Codes8, w.Groups, w.Map, x.DeviceAddress, sAt, b?.DeviceAddress ?? 0,
                bias?.DeviceAddress ?? 0, y.DeviceAddress, tokens, inputs, outputs, ranks, inputs, outputs, scale,
                w.Offset, w.BlockShift, w.GroupShift));
        s?.Release();
        return true;
    }
}
