using System.Runtime.CompilerServices;
using System.Runtime.InteropServices;
using CudaLora.Kernels.Runtime;
using CudaLora.Kernels.Simd;

namespace CudaLora.Kernels.Ops;

/// <summary>What <see cref="Elementwise"/> computes of a, b and the factor alpha.</summary>
public enum ElementwiseOp
{
    /// <summary>a + alpha b.</summary>
    Sum = 0,

    /// <summary>alpha a b.</summary>
    Product = 1,

    /// <summary>alpha a / b.</summary>
    Quotient = 2,

    /// <summary>alpha a; there is no b.</summary>
    Scale = 3,
}

/// <summary>An array on the device: the address of its first element, and whether it is bf16 or f32.</summary>
public readonly record struct Operand(ulong Address, bool Bf16);

/// <summary>
/// Elementwise.ptx (f32) and ElementwiseBf16.ptx: y (+)= a op b with broadcast, slices and permutations of rows. Types
/// may be mixed, as a bf16 activation and an f32 bias; the sum is rounded to y's type once.
/// </summary>
public static class Elementwise
{
    /// <summary>Parameters of both entries; the header of the PTX file says what they mean.</summary>
    [StructLayout(LayoutKind.Sequential, Pack = 4)]
    public readonly record struct Args(
        ulong A, ulong B, ulong Y, ElementwiseOp Op, float Alpha, int Flags, int Units, int Loops, LoopSizes Sizes,
        LoopStrides StridesA, LoopStrides StridesB, LoopStrides StridesY);

    /// <summary>Sizes of the inner loops.</summary>
    [InlineArray(BroadcastPlan.MaxRank - 1)]
    public struct LoopSizes
    {
        private uint first;
    }

    /// <summary>Strides of all loops, the outermost's last.</summary>
    [InlineArray(BroadcastPlan.MaxRank)]
    public struct LoopStrides
    {
        private uint first;
    }

    private const int VectorFlag = 1, AddsFlag = 2, SameAFlag = 4, SameBFlag = 8;
    private const int WideAFlag = 16, WideBFlag = 32, WideYFlag = 64;

    /// <summary>Queues y (+)= a op b; y is dense in the plan's shape and may be an operand of that shape.</summary>
    public static void Binary(
        CudaStream stream, ElementwiseOp op, float alpha, in BroadcastPlan plan, Operand a, Operand b, Operand y,
        bool accumulate = false)
    {
        if (plan.Count == 0) return;
        var loops = new LoopNest { Rank = plan.Rank };
        long dense = 1;
        for (int d = plan.Rank - 1; d >= 0; d--)
        {
            loops.Set(d, plan.Size(d), plan.StrideA(d), plan.StrideB(d), dense);
            dense *= plan.Size(d);
        }
        Run(stream, op, alpha, loops, a, b, y, accumulate);
    }

    /// <summary>Queues y (+)= alpha x for n elements of either type; y may be x.</summary>
    public static void Scale(CudaStream stream, Operand x, float alpha, Operand y, long n, bool accumulate = false)
    {
        if (n == 0) return;
        if (alpha == 1 && x.Bf16 != y.Bf16)
        {
            // Groups of four elements are coalesced on both sides.
            Cast.Run(
                stream, x.Address, x.Bf16 ? CastType.BF16 : CastType.F32, y.Address,
                y.Bf16 ? CastType.BF16 : CastType.F32, n, accumulate);
            return;
        }
        var loops = new LoopNest { Rank = 1 };
        loops.Set(0, n, 1, 0, 1);
        Run(stream, ElementwiseOp.Scale, alpha, loops, x, default, y, accumulate);
    }

    /// <summary>Queues y += x for n elements of either type.</summary>
    public static void AddInto(CudaStream stream, Operand x, Operand y, long n) =>
        Scale(stream, x, 1, y, n, accumulate: true);

    /// <summary>
    /// Queues a copy of equally spaced blocks, for each i below blocks: to[i toStride ..] (+)= from[i fromStride ..
    /// + length]. Strides and length in elements.
    /// </summary>
    public static void CopyBlocks(
        CudaStream stream, Operand from, long fromStride, Operand to, long toStride, int blocks, long length,
        bool accumulate = false)
    {
        if (blocks * length == 0) return;
        var loops = new LoopNest { Rank = 1 };
        if (blocks == 1 || (fromStride == length && toStride == length))
        {
            loops.Set(0, blocks * length, 1, 0, 1);
        }
        else
        {
            loops.Rank = 2;
            loops.Set(0, blocks, fromStride, 0, toStride);
            loops.Set(1, length, 1, 0, 1);
        }
        Run(stream, ElementwiseOp.Scale, 1, loops, from, default, to, accumulate);
    }

    /// <summary>Queues y (outer, axis, inner) (+)= alpha x (outer, inner): a sum's gradient.</summary>
    public static void Expand(
        CudaStream stream, Operand x, float alpha, int outer, int axis, int inner, Operand y, bool accumulate = false)
    {
        if ((long)outer * axis * inner == 0) return;
        var plan = BroadcastPlan.Create([outer, axis, inner], [outer, 1, inner], [1]);
        Binary(stream, ElementwiseOp.Scale, alpha, plan, x, default, y, accumulate);
    }

    /// <summary>Queues one launch over loops of any strides.</summary>
    internal static void Run(
        CudaStream stream, ElementwiseOp op, float alpha, in LoopNest loops, Operand a, Operand b, Operand y,
        bool accumulate)
    {
        bool useB = op != ElementwiseOp.Scale;
        bool half = a.Bf16 || y.Bf16 || (useB && b.Bf16);
        int perVector = Pointwise.PerVector(half), inner = loops.Rank - 1;
        bool vector = loops.Sizes[inner] % perVector == 0 && loops.StridesY[inner] == 1
            && Fits(inner, a, loops.StridesA, perVector) && Fits(inner, y, loops.StridesY, perVector)
            && (!useB || Fits(inner, b, loops.StridesB, perVector));
        int flags = (vector ? VectorFlag : 0) | (accumulate ? AddsFlag : 0)
            | (loops.StridesA[inner] == 0 ? SameAFlag : 0) | (loops.StridesB[inner] == 0 ? SameBFlag : 0)
            | (a.Bf16 ? 0 : WideAFlag) | (b.Bf16 ? 0 : WideBFlag) | (y.Bf16 ? 0 : WideYFlag);
        LoopSizes sizes = default;
        LoopStrides strideA = default, strideB = default, strideY = default;
        long units = 1;
        for (int d = inner; d >= 0; d--)
        {
            int unit = d == inner && vector ? perVector : 1, at = d == 0 ? BroadcastPlan.MaxRank - 1 : inner - d;
            long size = loops.Sizes[d] / unit;
            units *= size;
            if (d > 0) sizes[at] = checked((uint)size);
            strideA[at] = checked((uint)(loops.StridesA[d] * unit));
            strideB[at] = checked((uint)(loops.StridesB[d] * unit));
            strideY[at] = checked((uint)(loops.StridesY[d] * unit));
        }
        var args = new Args(
            a.Address, b.Address, y.Address, op, alpha, flags, (int)checked((uint)units), inner, sizes, strideA,
            strideB, strideY);
        stream.Context.Modules
            .Kernel<Args>(
                half ? "ElementwiseBf16" : "Elementwise", half ? "elementwise_bf16" : "elementwise_f32")
            .Launch(stream, Pointwise.Grid(units), args);
    }

    // Whole vectors at multiples of 16 bytes, or one element for all of the innermost loop.
    private static bool Fits(int inner, Operand x, in LoopNest.Values strides, int perVector)
    {
        if (strides[inner] == 0) return true;
        if (strides[inner] != 1 || x.Address % 16 != 0) return false;
        for (int d = 0; d < inner; d++)
        {
            if (strides[d] % perVector != 0) return false;
        }
        return true;
    }
}
