using CudaLora.Kernels.Runtime;

namespace CudaLora.Kernels.Ops;

/// <summary>
/// Inputs of an attention lab on host and device with a mask of every kind at once where asked, and the definition in
/// double precision.
/// </summary>
internal sealed class AttentionLabData : IDisposable
{
    private readonly int[] segments; // (B, Tk)
    private readonly int[] lengths; // (B)
    private readonly DeviceBuffer<int> deviceSegments, deviceLengths;
    private readonly double[] p; // (B, Hq, Tq, Tk)

    /// <summary>
    /// Shape: batch, queries, keys, queryHeads, keyHeads, size. A window of a third of the keys, two segments that meet
    /// past the middle, and the last sequence five keys shorter, when masked; causal always.
    /// </summary>
    public AttentionLabData(IReadOnlyList<int> shape, LabInputs inputs, bool bf16, bool masked)
    {
        (int batch, int keys) = (shape[0], shape[2]);
        segments = [.. Enumerable.Range(0, batch * keys).Select(i => i % keys * 5 / (3 * keys))];
        lengths = [.. Enumerable.Range(0, batch).Select(b => b == batch - 1 ? Math.Max(0, keys - 5) : keys)];
        (deviceSegments, deviceLengths) = (inputs.Upload(segments), inputs.Upload(lengths));
        Problem = new AttentionProblem
        {
            Batch = batch,
            Queries = shape[1],
            Keys = keys,
            QueryHeads = shape[3],
            KeyHeads = shape[4],
            Size = shape[5],
            Scale = 1 / MathF.Sqrt(shape[5]),
            Causal = true,
            Window = masked ? Math.Max(1, keys / 3) : 0,
            Segments = masked ? deviceSegments.Pointer.Address : 0,
            KeyLengths = masked ? deviceLengths.Pointer.Address : 0,
        };
        if (!masked) (segments, lengths) = (new int[batch * keys], [.. lengths.Select(_ => keys)]);
        if (Problem.QueryHeads % Problem.KeyHeads != 0)
            throw new ArgumentException($"[attention] key heads must divide query heads, but got {Problem}");
        (QueryCount, KeyCount) = (
            batch * Problem.Queries * Problem.QueryHeads * Problem.Size,
            batch * keys * Problem.KeyHeads * Problem.Size);
        (Q, K, V) = (inputs.Values(QueryCount), inputs.Values(KeyCount), inputs.Values(KeyCount));
        (DeviceQ, DeviceK, DeviceV) = (new(inputs, Q, bf16), new(inputs, K, bf16), new(inputs, V, bf16));
        p = new double[batch * Problem.QueryHeads * Problem.Queries * keys];
        Lse = new double[batch * Problem.QueryHeads * Problem.Queries];
        Y = new double[QueryCount];
        Forward();
    }

    public AttentionProblem Problem { get; }
    public int QueryCount { get; }
    public int KeyCount { get; }
    public float[] Q { get; }
    public float[] K { get; }
    public float[] V { get; }
    public LabTensor DeviceQ { get; }
    public LabTensor DeviceK { get; }
    public LabTensor DeviceV { get; }
    public double[] Y { get; }
    public double[] Lse { get; } // (B, Hq, Tq)

    /// <summary>Query-key pairs that the mask lets through, over all heads.</summary>
    public long Pairs { get; private set; }

    /// <summary>dq, dk, dv for a gradient of y, and delta = rowsum(dy y).</summary>
    public (double[] Q, double[] K, double[] V, double[] Delta) Backward(float[] dy)
    {
        double[] dq = new double[QueryCount], dk = new double[KeyCount], dv = new double[KeyCount];
        double[] delta = new double[Lse.Length];
        foreach ((int row, int q) in Rows())
        {
            for (int d = 0; d < Problem.Size; d++) delta[row] += Y[q + d] * dy[q + d];
            for (int j = 0; j < Problem.Keys; j++)
            {
                int k = KeyAt(row, j);
                double probability = p[row * Problem.Keys + j], dp = 0;
                for (int d = 0; d < Problem.Size; d++)
                {
                    dp += (double)dy[q + d] * V[k + d];
                    dv[k + d] += probability * dy[q + d];
                }
                double ds = probability * (dp - delta[row]) * Problem.Scale;
                for (int d = 0; d < Problem.Size; d++)
                {
                    dq[q + d] += ds * K[k + d];
                    dk[k + d] += ds * Q[q + d];
                }
            }
        }
        return (dq, dk, dv, delta);
    }

    public void Dispose()
    {
        DeviceQ.Dispose();
        DeviceK.Dispose();
        DeviceV.Dispose();
        deviceSegments.Dispose();
        deviceLengths.Dispose();
    }

    private void Forward()
    {
        foreach ((int row, int q) in Rows())
        {
            int b = row / (Problem.QueryHeads * Problem.Queries), at = row * Problem.Keys;
            int position = Problem.Keys - Problem.Queries + row % Problem.Queries;
            double max = double.NegativeInfinity, sum = 0;
            for (int j = 0; j < Problem.Keys; j++)
            {
                p[at + j] = double.NegativeInfinity;
                if (j > position || j >= lengths[b] || (Problem.Window > 0 && j <= position - Problem.Window)) continue;
                if (segments[b * Problem.Keys + j] != segments[b * Problem.Keys + Math.Max(0, position)]) continue;
                double score = 0;
                for (int d = 0; d < Problem.Size; d++) score += (double)Q[q + d] * K[KeyAt(row, j) + d];
                p[at + j] = score * Problem.Scale;
                max = Math.Max(max, p[at + j]);
                Pairs++;
            }
            for (int j = 0; j < Problem.Keys; j++)
            {
                p[at + j] = double.IsNegativeInfinity(p[at + j]) ? 0 : Math.Exp(p[at + j] - max);
                sum += p[at + j];
            }
            Lse[row] = max + Math.Log(sum);
            for (int j = 0; sum > 0 && j < Problem.Keys; j++)
            {
                p[at + j] /= sum;
                for (int d = 0; d < Problem.Size; d++) Y[q + d] += p[at + j] * V[KeyAt(row, j) + d];
            }
        }
    }

    // Rows of (B, Hq, Tq) and where each one's query lies in (B, Tq, Hq, D).
    private IEnumerable<(int Row, int Query)> Rows()
    {
        for (int row = 0; row < Lse.Length; row++)
        {
            int t = row % Problem.Queries, head = row / Problem.Queries % Problem.QueryHeads;
            int b = row / Problem.Queries / Problem.QueryHeads;
            yield return (row, ((b * Problem.Queries + t) * Problem.QueryHeads + head) * Problem.Size);
        }
    }

    private int KeyAt(int row, int key)
    {
        int head = row / Problem.Queries % Problem.QueryHeads / Problem.Group;
        int b = row / Problem.Queries / Problem.QueryHeads;
        return ((b * Problem.Keys + key) * Problem.KeyHeads + head) * Problem.Size;
    }
}
