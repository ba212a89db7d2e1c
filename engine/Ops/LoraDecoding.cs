using CudaLora.Kernels.Ops;

namespace CudaLora.Engine;

/// <summary>
/// Linear layers, with or without an adapter, for a few tokens on a CUDA device: bounded by reading the weights, which
/// <see cref="LoraDecode"/> does once. For inference; what backward needs is not kept.
/// </summary>
internal static class LoraDecoding
{
    /// <summary>Computes y when this is the way for it; y (rows, out) BF16, a and b null without an adapter.</summary>
    public static bool TryRun(Tensor x, Tensor? weight, Tensor? bias, Tensor? a, Tensor? b, float scale, Tensor y)
    {
        if (GradMode.Enabled || weight is null || x.DType != DType.BF16 || weight.DType != DType.BF16
            || y.Shape.Rows > LoraDecode.MaxTokens || y.Count == 0 || bias is { DType: not DType.F32 })
            return false;
        var (tokens, outputs, inputs) = (y.Shape.Rows, weight.Shape[0], weight.Shape[1]);
        var (stream, ranks) = (CudaProduct.Of(y).Stream, a is null ? 0 : a.Shape[0]);
        var s = ranks == 0 ? null : y.Device.Rent((long)tokens * ranks * sizeof(float));
        if (ranks > 0)
        {
            LoraDecode.Down(
                stream, tokens,
                new(x.DeviceAddress, a!.DeviceAddress, s!.DeviceAddress, inputs, inputs, ranks));
        }
        LoraDecode.Up(
            stream,
            new(
                x.DeviceAddress, weight.RowsAddress, s?.DeviceAddress ?? 0, b?.DeviceAddress ?? 0,
                bias?.DeviceAddress ?? 0, y.DeviceAddress, tokens, inputs, outputs, ranks, inputs,
                weight.RowPitch, outputs, scale));
        s?.Release();
        return true;
    }
}
