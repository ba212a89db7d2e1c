using CudaLora.Kernels.Simd;
using TorchSharp;

namespace CudaLora.Peers;

/// <summary>C = op(A) op(B) + beta C in fp32: <see cref="Gemm"/> against torch's in-place addmm.</summary>
internal static unsafe class GemmPeer
{
    public static void Run(Contest contest)
    {
        foreach (var size in (int[])[512, 1024, 2048])
        {
            Case(contest, $"{size} square", size, size, size);
            Case(contest, $"{size} square, B transposed", size, size, size, transB: true);
        }
        const int tokens = 1024, width = 1024;
        foreach (var rank in (int[])[4, 8, 16, 64])
        {
            var shape = $"{tokens} tokens, {width}, r {rank}";
            Case(contest, $"S = x A^T, {shape}", tokens, rank, width, transB: true);
            Case(contest, $"y += S B^T, {shape}", tokens, width, rank, transB: true, beta: 1);
            Case(contest, $"dA = dS^T x, {shape}", rank, width, tokens, transA: true);
            Case(contest, $"dB = dy^T S, {shape}", width, rank, tokens, transA: true);
        }
        foreach (var tokensNow in (int[])[1, 4, 16])
            Case(contest, $"y = x W^T, {tokensNow} tokens, 2048", tokensNow, 2048, 2048, transB: true);
    }

    private static void Case(
        Contest contest, string name, int m, int n, int k, bool transA = false, bool transB = false, float beta = 0)
    {
        var random = new Random(m * 7 + n * 3 + k);
        // Values of 1/sqrt(k) keep C near 1, so that one tolerance serves every depth.
        using var a = Uniform(random, transA ? [k, m] : [m, k], 1);
        using var b = Uniform(random, transB ? [n, k] : [k, n], 3 / MathF.Sqrt(k));
        using var peerC = torch.zeros(m, n);
        using var oursC = torch.zeros(m, n);
        using var opA = transA ? a.t() : a.alias();
        using var opB = transB ? b.t() : b.alias();
        // Both read the very same A and B.
        float* pa = Address(a), pb = Address(b), pc = Address(oursC);
        var (lda, ldb) = (transA ? m : k, transB ? k : n);

        void Ours() => Gemm.Run(transA, transB, m, n, k, 1, pa, lda, pb, ldb, beta, pc, n);

        void Peer() => peerC.addmm_(opA, opB, beta, 1);

        double Difference()
        {
            Ours();
            Peer();
            using var scope = torch.NewDisposeScope();
            // Two results of zeros would agree without having computed anything.
            return peerC.abs().max().item<float>() > 0.1f ? (oursC - peerC).abs().max().item<float>() : double.NaN;
        }

        void Reset()
        {
            oursC.zero_();
            peerC.zero_();
        }

        // With beta 1 the sums grow over thousands of calls; nothing overflows, and both start over from zero.
        Reset();
        contest.Run("gemm", name, Ours, Peer, Difference, 2e-5, Work.Flops(2.0 * m * n * k));
    }

    private static torch.Tensor Uniform(Random random, long[] shape, float scale)
    {
        var values = new float[shape[0] * shape[1]];
        for (var i = 0; i < values.Length; i++)
            values[i] = (random.NextSingle() * 2 - 1) * scale;
        return torch.tensor(values, shape);
    }

    private static float* Address(torch.Tensor tensor)
    {
        fixed (byte* first = tensor.bytes)
            return (float*)first;
    }
}
