using System.Runtime.InteropServices;
using CudaLora.Kernels.Driver;
using CudaLora.Kernels.Runtime;

namespace CudaLora.Kernels.Ops;

/// <summary>
/// Backward of attention in three passes without atomics: AttentionBackwardDelta.ptx, then dq by blocks of queries
/// (AttentionBackwardQueries*.ptx) and dk, dv by blocks of keys (AttentionBackwardKeys*.ptx), each in a fixed order.
/// </summary>
public static class AttentionBackward
{
    /// <summary>Parameters of the delta entries: rows = B * Tq * Hq.</summary>
    [StructLayout(LayoutKind.Sequential, Pack = 4)]
    public readonly record struct DeltaArgs(
        ulong Y, ulong Dy, ulong Delta, int Rows, int Queries, int QueryHeads, int Size, int Vector);

    /// <summary>Parameters of the entries for dq.</summary>
    [StructLayout(LayoutKind.Sequential, Pack = 4)]
    public readonly record struct QueryArgs(
        ulong Q, ulong K, ulong V, ulong Dy, ulong Lse, ulong Delta, ulong Dq, ulong Segments, ulong KeyLengths,
        ulong QueryStarts, long KeyBatch, int Queries, int Keys, int QueryHeads, int KeyHeads, int Size, float Scale,
        int Causal, int Window, int AddQ, int Vector);

    /// <summary>Parameters of the entries for dk and dv; either may be 0.</summary>
    [StructLayout(LayoutKind.Sequential, Pack = 4)]
    public readonly record struct KeyArgs(
        ulong Q, ulong K, ulong V, ulong Dy, ulong Lse, ulong Delta, ulong Dk, ulong Dv, ulong Segments,
        ulong KeyLengths, ulong QueryStarts, long KeyBatch, int Queries, int Keys, int QueryHeads, int KeyHeads,
        int Size, float Scale, int Causal, int Window, int AddK, int AddV, int Vector);

    /// <summary>Queues delta (B, Hq, Tq) = rowsum(dy * y).</summary>
    public static void Delta(CudaStream stream, in AttentionProblem problem, bool bf16, ulong y, ulong dy, ulong delta)
    {
        if (problem.IsEmpty) return;
        int rows = problem.Batch * problem.Queries * problem.QueryHeads;
        var args = new DeltaArgs(
            y, dy, delta, rows, problem.Queries, problem.QueryHeads, problem.Size,
            ((y | dy) & 15) == 0 && problem.Size % 8 == 0 ? 1 : 0);
        stream.Context.Modules
            .Kernel<DeltaArgs>("AttentionBackwardDelta", bf16 ? "attention_delta_bf16" : "attention_delta_f32")
            .Launch(stream, DeltaShape(rows), args);
    }

    /// <summary>Queues dq; <paramref name="accumulate"/> adds to what it holds.</summary>
    /// <param name="stream">Where.</param>
    /// <param name="problem">Sizes and mask of the forward.</param>
    /// <param name="bf16">Type of q, k, v, dy and dq: bf16 or f32.</param>
    /// <param name="q">Address of the queries.</param>
    /// <param name="k">Address of the keys.</param>
    /// <param name="v">Address of the values.</param>
    /// <param name="dy">Address of the gradient of y.</param>
    /// <param name="lse">Address of the forward's log-sum-exp.</param>
    /// <param name="delta">Address of what <see cref="Delta"/> gave.</param>
    /// <param name="dq">Address of the gradient, shaped as q.</param>
    /// <param name="accumulate">Add to dq, else overwrite it.</param>
    public static void Queries(
        CudaStream stream, in AttentionProblem problem, bool bf16, ulong q, ulong k, ulong v, ulong dy, ulong lse,
        ulong delta, ulong dq, bool accumulate)
    {
        problem.Check();
        if (problem.IsEmpty) return;
        var args = new QueryArgs(
            q, k, v, dy, lse, delta, dq, problem.KeySegments, problem.KeyLengths, problem.QueryStarts,
            problem.KeyStride,
            problem.Queries, problem.Keys, problem.QueryHeads, problem.KeyHeads, problem.Size, problem.Scale,
            problem.Causal ? 1 : 0, problem.Window, accumulate ? 1 : 0,
            problem.Aligned(q | k | v | dy | dq) ? 1 : 0);
        Kernel<QueryArgs> kernel = !bf16
            ? stream.Context.Modules.Kernel<QueryArgs>("AttentionBackwardQueries", "attention_backward_queries_f32")
            : problem.Size <= 64
                ? stream.Context.Modules.Kernel<QueryArgs>(
                    "AttentionBackwardQueriesBf16", "attention_backward_queries_64_bf16")
                : stream.Context.Modules.Kernel<QueryArgs>(
                    "AttentionBackwardQueriesWideBf16", "attention_backward_queries_128_bf16");
        kernel.Launch(stream, QueriesShape(problem, bf16), args);
    }

    /// <summary>Queues dk and dv, each where its address is not 0; parameters as in <see cref="Queries"/>.</summary>
    public static void Keys(
        CudaStream stream, in AttentionProblem problem, bool bf16, ulong q, ulong k, ulong v, ulong dy, ulong lse,
        ulong delta, ulong dk, bool accumulateK, ulong dv, bool accumulateV)
    {
        problem.Check();
        if (problem.Batch == 0 || problem.Keys == 0 || (dk == 0 && dv == 0)) return;
        var args = new KeyArgs(
            q, k, v, dy, lse, delta, dk, dv, problem.KeySegments, problem.KeyLengths, problem.QueryStarts,
            problem.KeyStride, problem.Queries, problem.Keys, problem.QueryHeads, problem.KeyHeads, problem.Size,
            problem.Scale, problem.Causal ? 1 : 0, problem.Window, accumulateK ? 1 : 0, accumulateV ? 1 : 0,
            problem.Aligned(q | k | v | dy | dk | dv) ? 1 : 0);
        Kernel<KeyArgs> kernel = !bf16
            ? stream.Context.Modules.Kernel<KeyArgs>("AttentionBackwardKeys", "attention_backward_keys_f32")
            : problem.Size <= 64
                ? stream.Context.Modules.Kernel<KeyArgs>("AttentionBackwardKeysBf16", "attention_backward_keys_64_bf16")
                : stream.Context.Modules.Kernel<KeyArgs>(
                    "AttentionBackwardKeysWideBf16", "attention_backward_keys_128_bf16");
        kernel.Launch(stream, KeysShape(problem, bf16), args);
    }

    /// <summary>Eight threads per row.</summary>
    public static LaunchShape DeltaShape(int rows) => new((rows + 15) / 16, 128);

    /// <summary>Blocks of queries across, heads and parts of the head size down, sequences.</summary>
    public static LaunchShape QueriesShape(in AttentionProblem problem, bool bf16)
    {
        // A warp has 32 queries; above 128 columns only one warp's operands fit in every GPU's shared memory.
        int rows = problem.Queries;
        int threads = problem.Size > 128 || rows <= 32 ? 32 : rows <= 64 ? 64 : 128;
        return bf16
            ? Shape(problem, rows, problem.QueryHeads, threads, threads, auxiliary: 0)
            : SimtShape(problem, rows, problem.QueryHeads);
    }

    /// <summary>Blocks of keys across, key heads and parts of the head size down, sequences.</summary>
    public static LaunchShape KeysShape(in AttentionProblem problem, bool bf16)
    {
        // A warp has 32 keys, or 16 where dk and dv of 128 columns fill the registers.
        int perThread = problem.Size > 64 ? 2 : 1, rows = problem.Keys;
        int threads = problem.Size > 128 || rows * perThread <= 64 ? 64 : 128;
        return bf16
            ? Shape(problem, rows, problem.KeyHeads, threads, threads / perThread, auxiliary: 512)
            : SimtShape(problem, rows, problem.KeyHeads);
    }

    private static LaunchShape Shape(
        in AttentionProblem problem, int rows, int heads, int threads, int tile, int auxiliary)
    {
        int width = problem.Size > 64 ? 128 : 64, parts = (problem.Size + width - 1) / width;
        return new(
            Grid(problem, rows, tile, heads * parts), threads,
            (uint)(parts * width * 2 * (2 * tile + 128) + auxiliary));
    }

    private static LaunchShape SimtShape(in AttentionProblem problem, int rows, int heads)
    {
        const int Tile = AttentionTiles.SimtRows;
        int parts = (problem.Size + 63) / 64;
        return new(
            Grid(problem, rows, Tile, heads * parts), 128, (uint)(4 * Tile * (parts * 64 + 4 + 12) * sizeof(float)));
    }

    private static Dim3 Grid(in AttentionProblem problem, int rows, int tile, int heads) =>
        new((uint)((rows + tile - 1) / tile), (uint)heads, (uint)problem.Batch);
}
