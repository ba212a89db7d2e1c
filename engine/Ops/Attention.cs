using CudaLora.Kernels.Ops;
using CudaLora.Kernels.Simd;

namespace CudaLora.Engine;

/// <summary>What an attention may see.</summary>
public readonly record struct AttentionOptions
{
    /// <summary>Factor of the scores, 1 / √D as a rule; above zero on a CUDA device.</summary>
    public required float Scale { get; init; }

    /// <summary>Whether a query sees only keys up to its own position.</summary>
    public bool Causal { get; init; }

    /// <summary>
    /// How many keys a query sees at most, its own position included; 0 for all. Needs <see cref="Causal"/>.
    /// </summary>
    public int Window { get; init; }

    /// <summary>
    /// Segment of each key position (B, Tk), I32: tokens attend only within their own. Null for one segment.
    /// </summary>
    public Tensor? Segments { get; init; }

    /// <summary>Valid keys per sequence (B), I32; null when all are.</summary>
    public Tensor? KeyLengths { get; init; }

    /// <summary>Key position of the first query per sequence (B), I32; null when the queries come last.</summary>
    public Tensor? QueryStarts { get; init; }

    /// <summary>Key positions in use when k and v are a cache with room for more; 0 for all.</summary>
    public int KeyCount { get; init; }
}

public static partial class TensorOps
{
    /// <summary>
    /// Multi-head attention softmax(s q kᵀ) v without the (Tq, Tk) matrix (Dao 2022, arXiv 2205.14135); backward
    /// recomputes the probabilities from the saved log-sum-exp.
    /// </summary>
    /// <param name="q">Queries (B, Tq, Hq, D), F32, or BF16 on a CUDA device, where D is at most 256.</param>
    /// <param name="k">Keys (B, Tk, Hkv, D), the queries' type; Hkv divides Hq (grouped queries).</param>
    /// <param name="v">Values, the keys' shape and type.</param>
    /// <param name="options">Scale and mask.</param>
    /// <returns>(B, Tq, Hq, D).</returns>
    public static Tensor Attention(this Tensor q, Tensor k, Tensor v, AttentionOptions options)
    {
        Tensor.RequireFloat("attention", q);
        if (k.DType != q.DType || v.DType != q.DType)
            throw new ArgumentException(
                $"[attention] q, k and v must have one dtype, but got {q.DType}, {k.DType} and {v.DType}");
        if (q.Shape.Rank != 4 || k.Shape.Rank != 4 || k.Shape != v.Shape || q.Shape[0] != k.Shape[0]
            || q.Shape[3] != k.Shape[3] || k.Shape[2] == 0 || q.Shape[2] % k.Shape[2] != 0)
            throw new ArgumentException(
                "[attention] q must be (B, Tq, Hq, D) and k, v (B, Tk, Hkv, D) with Hkv dividing Hq, " +
                $"but got q {q.Shape}, k {k.Shape}, v {v.Shape}");
        if ((uint)options.KeyCount > (uint)k.Shape[1])
            throw new ArgumentException(
                $"[attention] key count must be within the cache, but got {options.KeyCount} (k {k.Shape})");
        if (options.KeyCount > 0 && GradMode.Enabled && (k.RequiresGrad || v.RequiresGrad))
            throw new ArgumentException("[attention] keys of a cache must not require a gradient");
        var keys = options.KeyCount > 0 ? options.KeyCount : k.Shape[1];
        AttentionOp.Check(options.Segments, (long)k.Shape[0] * keys, "segments");
        AttentionOp.Check(options.KeyLengths, k.Shape[0], "key lengths");
        AttentionOp.Check(options.QueryStarts, k.Shape[0], "query starts");
        return new AttentionOp(q, k, v, options).Run(q.Shape);
    }
}

internal sealed unsafe class AttentionOp : Op
{
    private readonly Tensor q; // (B, Tq, Hq, D)
    private readonly Tensor k; // (B, Tk, Hkv, D)
    private readonly Tensor v; // (B, Tk, Hkv, D)
    private readonly AttentionOptions options;

    public AttentionOp(Tensor q, Tensor k, Tensor v, AttentionOptions options)
        : base("attention", q, k, v)
    {
        (this.q, this.k, this.v, this.options) = (q, k, v, options);
        Save(q);
        Save(k);
        Save(v);
        if (options.Segments is { } segments)
            Save(segments);
        if (options.KeyLengths is { } lengths)
            Save(lengths);
        if (options.QueryStarts is { } starts)
            Save(starts);
    }

    public static void Check(Tensor? mask, long count, string what)
    {
        if (mask is not null && (mask.DType != DType.I32 || mask.Count != count))
            throw new ArgumentException(
                $"[attention] {what} must be {count} I32 values, but got {mask.DType} {mask.Shape}");
    }

    protected override void ForwardCpu(Tensor y)
    {
        var lse = Tracking ? RentScratch<float>((long)q.Shape[0] * q.Shape[1] * q.Shape[2]) : null;
        Kernels.Simd.Attention.Forward(
            Sizes(), q.Pointer<float>(), k.Pointer<float>(), v.Pointer<float>(), y.Pointer<float>(), lse);
        Save(y);
    }

    protected override void BackwardCpu(Tensor y, Tensor dy)
    {
        var (addQ, addK, addV) = (false, false, false);
        var dq = NeedsGrad(q) ? GradOf(q, out addQ).Pointer<float>() : null;
        var dk = NeedsGrad(k) ? GradOf(k, out addK).Pointer<float>() : null;
        var dv = NeedsGrad(v) ? GradOf(v, out addV).Pointer<float>() : null;
        Kernels.Simd.Attention.Backward(
            Sizes(), q.Pointer<float>(), k.Pointer<float>(), v.Pointer<float>(), y.Pointer<float>(), Scratch<float>(),
            dy.Pointer<float>(), dq, addQ, dk, addK, dv, addV);
    }

    protected override void ForwardCuda(Tensor y)
    {
        var problem = Problem();
        var lse = Tracking ? (ulong)RentScratch<float>((long)q.Shape[0] * q.Shape[1] * q.Shape[2]) : 0;
        var floats = Kernels.Ops.Attention.WorkFloats(problem);
        var work = floats > 0 ? y.Device.Rent(floats * sizeof(float)) : null;
        Kernels.Ops.Attention.Forward(
            Stream(y), problem, q.DType == DType.BF16, q.DeviceAddress, k.DeviceAddress, v.DeviceAddress,
            y.DeviceAddress, lse, work?.DeviceAddress ?? 0);
        work?.Release();
        Save(y);
    }

    protected override void BackwardCuda(Tensor y, Tensor dy)
    {
        var (problem, bf16, stream) = (Problem(), q.DType == DType.BF16, Stream(y));
        var (from, lse) = (dy.DeviceAddress, (ulong)Scratch<float>());
        // (B, Hq, Tq)
        var work = y.Device.Rent(Math.Max(1, (long)q.Shape[0] * q.Shape[1] * q.Shape[2]) * sizeof(float));
        var delta = work.DeviceAddress;
        AttentionBackward.Delta(stream, problem, bf16, y.DeviceAddress, from, delta);
        if (NeedsGrad(q))
        {
            var dq = GradOf(q, out var addQ);
            AttentionBackward.Queries(
                stream, problem, bf16, q.DeviceAddress, k.DeviceAddress, v.DeviceAddress, from, lse, delta,
                dq.DeviceAddress, addQ);
        }
        if (NeedsGrad(k) || NeedsGrad(v))
        {
            var (addK, addV) = (false, false);
            var dk = NeedsGrad(k) ? GradOf(k, out addK).DeviceAddress : 0;
            var dv = NeedsGrad(v) ? GradOf(v, out addV).DeviceAddress : 0;
            AttentionBackward.Keys(
                stream, problem, bf16, q.DeviceAddress, k.DeviceAddress, v.DeviceAddress, from, lse, delta, dk, addK,
                dv, addV);
        }
        work.Release();
    }

    private AttentionProblem Problem() => new()
    {
        Batch = q.Shape[0],
        Queries = q.Shape[1],
        QueryHeads = q.Shape[2],
        Size = q.Shape[3],
        Keys = options.KeyCount > 0 ? options.KeyCount : k.Shape[1],
        KeyHeads = k.Shape[2],
        KeyBatchStride = (long)k.Shape[1] * k.Shape[2] * k.Shape[3],
        Scale = options.Scale,
        Causal = options.Causal,
        Window = options.Window,
        Segments = options.Segments?.DeviceAddress ?? 0,
        KeyLengths = options.KeyLengths?.DeviceAddress ?? 0,
        QueryStarts = options.QueryStarts?.DeviceAddress ?? 0,
    };

    private AttentionShape Sizes() => new()
    {
        Batch = q.Shape[0],
        QueryLength = q.Shape[1],
        QueryHeads = q.Shape[2],
        HeadSize = q.Shape[3],
        KeyLength = options.KeyCount > 0 ? options.KeyCount : k.Shape[1],
        KeyHeads = k.Shape[2],
        KeyBatchStride = (long)k.Shape[1] * k.Shape[2] * k.Shape[3],
        Scale = options.Scale,
        Causal = options.Causal,
        Window = options.Window,
        Segments = options.Segments is { } segments ? segments.Pointer<int>() : null,
        KeyLengths = options.KeyLengths is { } lengths ? lengths.Pointer<int>() : null,
        QueryStarts = options.QueryStarts is { } starts ? starts.Pointer<int>() : null,
    };
}
