using CudaLora.Kernels.Ops;

namespace CudaLora.Engine;

/// <summary>
/// Products with a 4-bit matrix, and with its adapter, on a CUDA device in BF16 that decode the codes in registers:
/// <see cref="Nf4Gemm"/>. The same values as of the decoded matrix but for the order of the sums.
/// </summary>
internal static class QuantizedProduct
{
    // Every 64 tokens decode the matrix again: well before this the library's product of a decoded one is faster.
    private const int MostTokens = 256;

    /// <summary>Whether the products of so many tokens can be, and are worth a try.</summary>
    public static bool Suits(DType activations, int tokens, Tensor? bias = null) =>
        activations == DType.BF16 && tokens is > 0 and <= MostTokens && bias is not { DType: not DType.F32 };

    /// <summary>y = x W0ᵀ + b + S (s B)ᵀ.</summary>
    /// <param name="x">(M, in) BF16.</param>
    /// <param name="weight">W0 (out, in).</param>
    /// <param name="bias">b (out) F32, or null.</param>
    /// <param name="s">S (M, r) BF16 as the thin pass leaves it, or 0.</param>
    /// <param name="pitch">Elements from row to row of S.</param>
    /// <param name="b">B (out, r) F32, or null.</param>
    /// <param name="scale">s.</param>
    /// <param name="y">(M, out) BF16.</param>
    public static void Forward(
        Tensor x, QuantizedTensor weight, Tensor? bias, ulong s, int pitch, Tensor? b, float scale, Tensor y) => Run(
            backward: false, x, weight, bias, s, pitch, b?.DeviceAddress ?? 0, b?.Shape[1] ?? 0, scale, y, false);

    /// <summary>g (+)= dY W0 + dS A.</summary>
    /// <param name="dy">(M, out) BF16.</param>
    /// <param name="weight">W0 (out, in).</param>
    /// <param name="ds">dS (M, r) BF16, scaled, or 0.</param>
    /// <param name="pitch">Elements from row to row of dS.</param>
    /// <param name="a">A (r, in) F32, or 0.</param>
    /// <param name="ranks">r.</param>
    /// <param name="g">(M, in), BF16 or F32.</param>
    /// <param name="add">Whether to add to what g holds.</param>
    public static void InputGrad(
        Tensor dy, QuantizedTensor weight, ulong ds, int pitch, ulong a, int ranks, Tensor g, bool add) => Run(
            backward: true, dy, weight, null, ds, pitch, a, ranks, 1, g, add);

    // u is B or A.
    private static void Run(
        bool backward, Tensor x, QuantizedTensor weight, Tensor? bias, ulong s, int pitch, ulong u, int ranks,
        float scale, Tensor y, bool add)
    {
        var (tokens, columns, depth, stream) = (y.Shape.Rows, y.Shape[^1], x.Shape[^1], CudaProduct.Of(y).Stream);
        var (parts, perPart) = Nf4Gemm.Divide(tokens, columns, depth);
        // The kernels write BF16; what has several parts, or is F32, is added up afterwards.
        var (bf16, size) = (y.DType == DType.BF16, (long)parts * tokens * columns * sizeof(float));
        var sums = parts == 1 && bf16 ? null : y.Device.Rent(size);
        var w = weight.DeviceView;
        var args = new Nf4Gemm.Args(
            w.Codes, w.Codebook, w.AbsMax, w.Codes8, w.Groups, w.Map, x.DeviceAddress, s, u, bias?.DeviceAddress ?? 0,
            y.DeviceAddress, sums?.DeviceAddress ?? 0, tokens, weight.Shape[1], weight.Shape[0], ranks, depth, pitch,
            columns, scale, w.Offset, w.BlockShift, w.GroupShift, perPart, add ? 1 : 0);
        if (backward)
            Nf4Gemm.Backward(stream, parts, args);
        else
            Nf4Gemm.Forward(stream, parts, args);
        if (sums is null)
            return;
        LoraThin.Sum(
            stream,
            new(
                sums.DeviceAddress, y.DeviceAddress, parts, tokens, columns, columns, tokens, columns, 1, 1,
                add ? 1 : 0, bf16 ? 1 : 0));
        sums.Release();
    }
}
