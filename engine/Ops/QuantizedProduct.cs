using System.Numerics;
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
        Tensor x, QuantizedTensor weight, Tensor? bias, ulong s, int pitch, Tensor? b, float scale, Tensor y)
    {
        var (tokens, outputs, inputs) = (y.Shape.Rows, weight.Shape[0], weight.Shape[1]);
        var (parts, perPart) = Nf4Gemm.Divide(tokens, outputs, inputs);
        var ranks = b?.Shape[1] ?? 0;
        var sums = Sums(y, parts, tokens, outputs);
        Nf4Gemm.Forward(
            CudaProduct.Of(y).Stream, parts,
            Args(weight) with
            {
                X = x.DeviceAddress,
                S = s,
                U = b?.DeviceAddress ?? 0,
                Bias = bias?.DeviceAddress ?? 0,
                Y = y.DeviceAddress,
                Parts = sums?.DeviceAddress ?? 0,
                Tokens = tokens,
                Ranks = ranks,
                LdX = inputs,
                LdS = pitch,
                LdY = outputs,
                Scale = scale,
                PerPart = perPart,
            });
        Add(sums, parts, tokens, outputs, y, false);
    }

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
        Tensor dy, QuantizedTensor weight, ulong ds, int pitch, ulong a, int ranks, Tensor g, bool add)
    {
        var (tokens, outputs, inputs) = (dy.Shape.Rows, weight.Shape[0], weight.Shape[1]);
        var (parts, perPart) = Nf4Gemm.Divide(tokens, inputs, outputs);
        var sums = Sums(g, parts, tokens, inputs);
        Nf4Gemm.Backward(
            CudaProduct.Of(g).Stream, parts,
            Args(weight) with
            {
                X = dy.DeviceAddress,
                S = ds,
                U = a,
                Y = g.DeviceAddress,
                Parts = sums?.DeviceAddress ?? 0,
                Tokens = tokens,
                Ranks = ranks,
                LdX = outputs,
                LdS = pitch,
                LdY = inputs,
                Scale = 1,
                PerPart = perPart,
                Accumulate = add ? 1 : 0,
            });
        Add(sums, parts, tokens, inputs, g, add);
    }

    // The kernels write BF16; what has several parts, or is F32, is added up afterwards.
    private static Storage? Sums(Tensor to, int parts, int rows, int columns) =>
        parts == 1 && to.DType == DType.BF16 ? null : to.Device.Rent((long)parts * rows * columns * sizeof(float));

    private static void Add(Storage? sums, int parts, int rows, int columns, Tensor to, bool add)
    {
        if (sums is null)
            return;
        LoraThin.Sum(
            CudaProduct.Of(to).Stream,
            new(
                sums.DeviceAddress, to.DeviceAddress, parts, rows, columns, columns, rows, columns, 1, 1, add ? 1 : 0,
                to.DType == DType.BF16 ? 1 : 0));
        sums.Release();
    }

    private static Nf4Gemm.Args Args(QuantizedTensor weight)
    {
        var (parts, nested) = (weight.Parts, weight.Options.DoubleQuant);
        return new Nf4Gemm.Args
        {
            Codes = parts.Codes.DeviceAddress,
            Codebook = parts.Codebook.DeviceAddress,
            AbsMax = nested ? 0 : parts.AbsMax.DeviceAddress,
            Codes8 = nested ? parts.AbsMax.DeviceAddress : 0,
            Groups = parts.NestedAbsMax?.DeviceAddress ?? 0,
            Map = parts.NestedMap?.DeviceAddress ?? 0,
            In = weight.Shape[1],
            Out = weight.Shape[0],
            Offset = parts.Offset,
            BlockShift = BitOperations.Log2((uint)weight.Options.BlockSize),
            GroupShift = BitOperations.Log2((uint)parts.GroupSize),
        };
    }

}
