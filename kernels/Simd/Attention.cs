using System.Runtime.Intrinsics;

namespace CudaLora.Kernels.Simd;

/// <summary>
/// Softmax attention with grouped-query heads, y = softmax(scale * q kᵀ + mask) v, without a (Tq, Tk) matrix
/// (FlashAttention, Dao et al. 2022). Sizes and mask: <see cref="AttentionShape"/>. Sums have a fixed order, so the
/// bits do not depend on the thread count. Nothing is allocated once each thread has its work memory.
/// </summary>
public static unsafe class Attention
{
    /// <summary>Writes y (B, Tq, Hq, D) and, where it is not null, the log-sum-exp that backward needs.</summary>
    public static void Forward(in AttentionShape shape, float* q, float* k, float* v, float* y, float* lse)
        => Forward(SimdSupport.Best, shape, q, k, v, y, lse);

    /// <summary>
    /// Gradients from <paramref name="dy"/> (B, Tq, Hq, D) and what forward wrote. Each is written, or added where its
    /// flag is set; null where it is not wanted. dk and dv are contiguous (B, Tk, Hkv, D) whatever the strides of k, v.
    /// </summary>
    public static void Backward(
        in AttentionShape shape, float* q, float* k, float* v, float* y, float* lse, float* dy,
        float* dq, bool accumulateQ, float* dk, bool accumulateK, float* dv, bool accumulateV)
        => Backward(
            SimdSupport.Best, shape, q, k, v, y, lse, dy, dq, accumulateQ, dk, accumulateK, dv, accumulateV);

    internal static void Forward(
        SimdPath path, in AttentionShape shape, float* q, float* k, float* v, float* y, float* lse)
    {
        shape.Check();
        if (shape.Batch == 0 || shape.QueryLength == 0)
            return;
        switch (path)
        {
            case SimdPath.Vector512: Forward<Lanes512, Vector512<float>>(shape, q, k, v, y, lse); break;
            case SimdPath.Vector256: Forward<Lanes256, Vector256<float>>(shape, q, k, v, y, lse); break;
            case SimdPath.Vector128: Forward<Lanes128, Vector128<float>>(shape, q, k, v, y, lse); break;
            default: Forward<LanesScalar, float>(shape, q, k, v, y, lse); break;
        }
    }

    internal static void Backward(
        SimdPath path, in AttentionShape shape, float* q, float* k, float* v, float* y, float* lse, float* dy,
        float* dq, bool addQ, float* dk, bool addK, float* dv, bool addV)
    {
        shape.Check();
        if (shape.Batch == 0 || (dq == null && dk == null && dv == null))
            return;
        switch (path)
        {
            case SimdPath.Vector512:
                Backward<Lanes512, Vector512<float>>(shape, q, k, v, y, lse, dy, dq, addQ, dk, addK, dv, addV);
                break;
            case SimdPath.Vector256:
                Backward<Lanes256, Vector256<float>>(shape, q, k, v, y, lse, dy, dq, addQ, dk, addK, dv, addV);
                break;
            case SimdPath.Vector128:
                Backward<Lanes128, Vector128<float>>(shape, q, k, v, y, lse, dy, dq, addQ, dk, addK, dv, addV);
                break;
            default:
                Backward<LanesScalar, float>(shape, q, k, v, y, lse, dy, dq, addQ, dk, addK, dv, addV);
                break;
        }
    }

    private static void Forward<TLanes, TVec>(
        in AttentionShape shape, float* q, float* k, float* v, float* y, float* lse)
        where TLanes : struct, ILanes<TVec>
        where TVec : struct
    {
        int heads = shape.Batch * shape.KeyHeads;
        long flops = 4L * heads * shape.Group * shape.QueryLength * shape.KeyLength * shape.HeadSize;
        if (shape.QueryLength <= AttentionDecodeBody<TLanes, TVec>.MaxQueries)
        {
            var decode = new AttentionDecodeBody<TLanes, TVec>
            {
                Shape = shape,
                Q = q,
                K = k,
                V = v,
                Y = y,
                Lse = lse,
            };
            Fork(ref decode, heads, flops);
            return;
        }
        // With few heads the tiles of queries are shared out as well; each share packs the keys anew.
        int tiles = AttentionForwardBody<TLanes, TVec>.Tiles(shape.QueryLength);
        var body = new AttentionForwardBody<TLanes, TVec>
        {
            Shape = shape,
            Q = q,
            K = k,
            V = v,
            Y = y,
            Lse = lse,
            Splits = Math.Clamp(GemmPlan.Items / heads, 1, tiles),
        };
        Fork(ref body, heads * body.Splits, flops);
    }

    private static void Backward<TLanes, TVec>(
        in AttentionShape shape, float* q, float* k, float* v, float* y, float* lse, float* dy,
        float* dq, bool addQ, float* dk, bool addK, float* dv, bool addV)
        where TLanes : struct, ILanes<TVec>
        where TVec : struct
    {
        int heads = shape.Batch * shape.KeyHeads;
        var body = new AttentionBackwardBody<TLanes, TVec>
        {
            Shape = shape,
            Q = q,
            K = k,
            V = v,
            Y = y,
            Lse = lse,
            GradY = dy,
            GradQ = dq,
            GradK = dk,
            GradV = dv,
            AddQ = addQ,
            AddK = addK,
            AddV = addV,
        };
        Fork(ref body, heads, 10L * heads * shape.Group * shape.QueryLength * shape.KeyLength * shape.HeadSize);
    }

    private static void Fork<TBody>(ref TBody body, int items, long flops)
        where TBody : struct, IParallelBody
    {
        if (flops >= GemmPlan.ForkFlops)
        {
            Workers.Run(ref body, items);
            return;
        }
        for (int i = 0; i < items; i++)
            body.Execute(i);
    }
}
