using CudaLora.Kernels.Simd;

namespace CudaLora.Tests.Kernels;

/// <summary>Attention by its definition, in double precision, with the whole matrix of probabilities.</summary>
internal sealed class AttentionOracle
{
    public required int Batch { get; init; }
    public required int Queries { get; init; }
    public required int Keys { get; init; }
    public required int QueryHeads { get; init; }
    public required int KeyHeads { get; init; }
    public required int Size { get; init; }
    public bool Causal { get; init; } = true;
    public int Window { get; init; }
    public int[]? Segments { get; init; }
    public int[]? Lengths { get; init; }
    public int[]? Starts { get; init; }

    public double Scale => 1 / Math.Sqrt(Size);
    public int QueryCount => Batch * Queries * QueryHeads * Size;
    public int KeyCount => Batch * Keys * KeyHeads * Size;

    private int Q(int b, int t, int h) => ((((b * Queries) + t) * QueryHeads) + h) * Size;

    private int K(int b, int t, int h) => ((((b * Keys) + t) * KeyHeads) + (h / (QueryHeads / KeyHeads))) * Size;

    private bool Sees(int b, int i, int j)
    {
        int position = (Starts is null ? Keys - Queries : Starts[b]) + i;
        return (!Causal || j <= position)
            && (Window == 0 || j > position - Window)
            && (Lengths is null || j < Lengths[b])
            && (Segments is null || Segments[(b * Keys) + j] == Segments[(b * Keys) + position]);
    }

    private double[] Row(double[] q, double[] k, int b, int i, int h, out double lse)
    {
        double[] p = new double[Keys];
        double max = double.NegativeInfinity;
        for (int j = 0; j < Keys; j++)
        {
            double score = 0;
            for (int d = 0; d < Size; d++)
                score += q[Q(b, i, h) + d] * k[K(b, j, h) + d];
            p[j] = Sees(b, i, j) ? score * Scale : double.NegativeInfinity;
            max = Math.Max(max, p[j]);
        }
        double sum = p.Sum(s => double.IsNegativeInfinity(s) ? 0 : Math.Exp(s - max));
        lse = sum == 0 ? double.NegativeInfinity : max + Math.Log(sum);
        for (int j = 0; j < Keys; j++)
            p[j] = double.IsNegativeInfinity(p[j]) ? 0 : Math.Exp(p[j] - lse);
        return p;
    }

    public double[] Forward(double[] q, double[] k, double[] v, double[] lse)
    {
        double[] y = new double[QueryCount];
        for (int b = 0; b < Batch; b++)
            for (int h = 0; h < QueryHeads; h++)
                for (int i = 0; i < Queries; i++)
                {
                    double[] p = Row(q, k, b, i, h, out lse[(((b * QueryHeads) + h) * Queries) + i]);
                    for (int j = 0; j < Keys; j++)
                        for (int d = 0; d < Size; d++)
                            y[Q(b, i, h) + d] += p[j] * v[K(b, j, h) + d];
                }
        return y;
    }

    public (double[] Q, double[] K, double[] V) Backward(double[] q, double[] k, double[] v, double[] dy)
    {
        double[] dq = new double[QueryCount], dk = new double[KeyCount], dv = new double[KeyCount];
        for (int b = 0; b < Batch; b++)
            for (int h = 0; h < QueryHeads; h++)
                for (int i = 0; i < Queries; i++)
                {
                    double[] p = Row(q, k, b, i, h, out _);
                    double[] dp = new double[Keys];
                    for (int j = 0; j < Keys; j++)
                        for (int d = 0; d < Size; d++)
                        {
                            dp[j] += dy[Q(b, i, h) + d] * v[K(b, j, h) + d];
                            dv[K(b, j, h) + d] += p[j] * dy[Q(b, i, h) + d];
                        }
                    double mean = p.Zip(dp, (x, g) => x * g).Sum();
                    for (int j = 0; j < Keys; j++)
                        for (int d = 0; d < Size; d++)
                        {
                            double ds = p[j] * (dp[j] - mean) * Scale;
                            dq[Q(b, i, h) + d] += ds * k[K(b, j, h) + d];
                            dk[K(b, j, h) + d] += ds * q[Q(b, i, h) + d];
                        }
                }
        return (dq, dk, dv);
    }

    public unsafe AttentionShape Shape(int* segments, int* lengths, int* starts) => new()
    {
        Batch = Batch,
        QueryLength = Queries,
        KeyLength = Keys,
        QueryHeads = QueryHeads,
        KeyHeads = KeyHeads,
        HeadSize = Size,
        Scale = (float)Scale,
        Causal = Causal,
        Window = Window,
        Segments = Segments is null ? null : segments,
        KeyLengths = Lengths is null ? null : lengths,
        QueryStarts = Starts is null ? null : starts,
    };

    public override string ToString()
        => $"B {Batch}, Tq {Queries}, Tk {Keys}, Hq {QueryHeads}, Hkv {KeyHeads}, D {Size}, causal {Causal}, " +
            $"window {Window}, segments {Segments is not null}, lengths {Lengths is not null}";
}
