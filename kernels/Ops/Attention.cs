using System.Runtime.InteropServices;
using CudaLora.Kernels.Driver;
using CudaLora.Kernels.Runtime;

namespace CudaLora.Kernels.Ops;

/// <summary>
/// Forward of attention: Attention.ptx (f32), AttentionBf16.ptx and AttentionWideBf16.ptx (tensor cores), and
/// AttentionCombine.ptx, which adds up what blocks found that shared the keys of a query.
/// </summary>
public static class Attention
{
    // Few queries leave most of a GPU idle unless the keys are divided. The division depends on the shape alone, so
    // that a result does not depend on the GPU.
    private const int SplitQueries = 16, KeysPerSplit = 128, MaxSplits = 64;

    /// <summary>Parameters of the three forward entries; the PTX files say what they are.</summary>
    [StructLayout(LayoutKind.Sequential, Pack = 4)]
    public readonly record struct ForwardArgs(
        ulong Q, ulong K, ulong V, ulong Y, ulong Lse, ulong Partial, ulong Segments, ulong KeyLengths,
        ulong QueryStarts, long KeyBatch, int Queries, int Keys, int QueryHeads, int KeyHeads, int Size, float Scale,
        int Causal, int Window, int Pack, int Splits, int Vector);

    /// <summary>Parameters of the combining entries: rows = B * Tq * Hq.</summary>
    [StructLayout(LayoutKind.Sequential, Pack = 4)]
    public readonly record struct CombineArgs(
        ulong Partial, ulong PartialLse, ulong Y, ulong Lse, int Rows, int Queries, int QueryHeads, int Size,
        int Splits);

    /// <summary>Among how many blocks the keys of one query are divided; 1 for more than a few queries.</summary>
    public static int Splits(in AttentionProblem problem) => problem.Queries > SplitQueries
        ? 1
        : Math.Clamp((problem.Keys + KeysPerSplit - 1) / KeysPerSplit, 1, MaxSplits);

    /// <summary>
    /// Floats of work memory that <see cref="Forward"/> needs, on a 16-byte boundary; 0 when the keys are not divided.
    /// </summary>
    public static long WorkFloats(in AttentionProblem problem)
    {
        int splits = Splits(problem);
        long rows = (long)problem.Batch * problem.Queries * problem.QueryHeads;
        return splits == 1 ? 0 : splits * rows * (problem.Size + 1);
    }

    /// <summary>Queues y = softmax(scale q kᵀ + mask) v.</summary>
    /// <param name="stream">Where.</param>
    /// <param name="problem">Sizes and mask.</param>
    /// <param name="bf16">Type of q, k, v and y: bf16 or f32.</param>
    /// <param name="q">Address of the queries.</param>
    /// <param name="k">Address of the keys.</param>
    /// <param name="v">Address of the values.</param>
    /// <param name="y">Address of the result.</param>
    /// <param name="lse">Address of the log-sum-exp, f32; 0 when not wanted.</param>
    /// <param name="work">Address of the floats that <see cref="WorkFloats"/> counts.</param>
    public static void Forward(
        CudaStream stream, in AttentionProblem problem, bool bf16, ulong q, ulong k, ulong v, ulong y, ulong lse,
        ulong work)
    {
        problem.Check();
        if (problem.IsEmpty) return;
        int splits = Splits(problem);
        long rows = (long)problem.Batch * problem.Queries * problem.QueryHeads;
        ulong workLse = work + (ulong)(splits * rows * problem.Size * sizeof(float));
        var args = new ForwardArgs(
            q, k, v, y, splits > 1 ? workLse : lse, splits > 1 ? work : 0, problem.KeySegments, problem.KeyLengths,
            problem.QueryStarts, problem.KeyStride, problem.Queries, problem.Keys, problem.QueryHeads,
            problem.KeyHeads, problem.Size, problem.Scale, problem.Causal ? 1 : 0, problem.Window,
            Packed(problem, bf16), splits,
            problem.Aligned(q | k | v | y | work) ? 1 : 0);
        Kernel<ForwardArgs> kernel = !bf16
            ? stream.Context.Modules.Kernel<ForwardArgs>("Attention", "attention_forward_f32")
            : problem.Size <= 64
                ? stream.Context.Modules.Kernel<ForwardArgs>("AttentionBf16", "attention_forward_64_bf16")
                : stream.Context.Modules.Kernel<ForwardArgs>("AttentionWideBf16", "attention_forward_128_bf16");
        kernel.Launch(stream, ForwardShape(problem, bf16), args);
        if (splits > 1)
            Combine(
                stream, bf16,
                new(
                    work, workLse, y, lse, (int)rows, problem.Queries, problem.QueryHeads, problem.Size, splits));
    }

    /// <summary>Queues the sum over splits.</summary>
    public static void Combine(CudaStream stream, bool bf16, in CombineArgs args) =>
        stream.Context.Modules
            .Kernel<CombineArgs>("AttentionCombine", bf16 ? "attention_combine_bf16" : "attention_combine_f32")
            .Launch(stream, CombineShape(args.Rows), args);

    /// <summary>Row tiles and splits across, heads and parts of the head size down, sequences.</summary>
    public static LaunchShape ForwardShape(in AttentionProblem problem, bool bf16)
    {
        int packed = Packed(problem, bf16), splits = Splits(problem);
        int rows = problem.Queries * packed, size = problem.Size;
        int threads = !bf16 ? 128 : rows <= 32 ? 32 : rows <= 64 || size > 128 ? 64 : 128;
        int tile = bf16 ? threads : AttentionTiles.SimtRows, width = bf16 && size > 64 ? 128 : 64;
        int parts = (size + width - 1) / width;
        int padded = parts * width;
        int shared = bf16
            ? padded * 2 * (threads + 64) + 64 * width * 2 + 4 * threads
            : ((AttentionTiles.SimtRows + 32) * (padded + 4) + 32 * 64 + AttentionTiles.SimtRows * 40) * sizeof(float);
        return new(
            new Dim3(
                (uint)((rows + tile - 1) / tile * splits), (uint)(problem.QueryHeads / packed * parts),
                (uint)problem.Batch),
            threads, (uint)shared);
    }

    // Heads of one block: of a single query, all that read the same keys, so that these are read once.
    private static int Packed(in AttentionProblem problem, bool bf16) =>
        problem.Queries == 1 && problem.Group <= (bf16 ? 64 : 16) ? problem.Group : 1;

    /// <summary>A warp per row.</summary>
    public static LaunchShape CombineShape(int rows) => new((rows + 3) / 4, 128);
}
