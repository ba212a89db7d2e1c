using System.Runtime.InteropServices;
using BenchmarkDotNet.Attributes;
using CudaLora.Kernels.Simd;

namespace CudaLora.Bench.Ops;

/// <summary>
/// Causal attention of the CPU: prefill of several head shapes, and decoding against a cache.
/// </summary>
[Config(typeof(BenchConfig))]
public unsafe class AttentionBench
{
    private readonly List<nint> _blocks = [];
    private float* _q;
    private float* _k;
    private float* _v;
    private float* _y;
    private float* _lse;
    private float* _dy;
    private float* _dq;
    private float* _dk;
    private float* _dv;

    public sealed record Shape(int B, int Tq, int Tk, int Hq, int Hkv, int D) : IWork
    {
        /// <summary>
        /// Two products forward and five backward, of what the mask leaves. Backward reads q, k, v, y and dy and writes
        /// three gradients.
        /// </summary>
        Work IWork.Of(string method)
        {
            var product = 2.0 * B * Hq * D * Tq * (Tk - ((Tq - 1) / 2.0));
            double queries = 4.0 * B * Tq * Hq * D, keys = 4.0 * B * Tk * Hkv * D;
            return method == nameof(Forward)
                ? new Work(2 * product, (2 * queries) + (2 * keys))
                : new Work(5 * product, (4 * queries) + (4 * keys));
        }

        internal AttentionShape Kernel => new()
        {
            Batch = B,
            QueryLength = Tq,
            KeyLength = Tk,
            QueryHeads = Hq,
            KeyHeads = Hkv,
            HeadSize = D,
            Scale = 1 / MathF.Sqrt(D),
            Causal = true,
        };

        public override string ToString() => $"B{B} Tq{Tq} Tk{Tk} H{Hq}/{Hkv} D{D}";
    }

    public static IEnumerable<Shape> Shapes => BenchArguments.Full ? All : Usual;

    private static IEnumerable<Shape> Usual =>
    [
        new(8, 256, 256, 8, 8, 32),
        new(4, 512, 512, 4, 4, 64),
        new(2, 512, 512, 8, 2, 64),
        new(1, 1024, 1024, 4, 4, 128),
        new(1, 2048, 2048, 4, 4, 64),
        new(1, 1, 2048, 16, 4, 64),
        new(16, 1, 512, 16, 4, 64),
    ];

    // Prefill and decoding, one and several queries per key head.
    private static IEnumerable<Shape> All =>
        from size in (int[])[32, 64, 80, 128]
        from groups in (int[])[1, 4]
        from keys in (int[])[128, 512, 2048]
        from queries in (int[])[keys, 1]
        select new Shape(queries == 1 ? 8 : 1, queries, keys, 8, 8 / groups, size);

    [ParamsSource(nameof(Shapes))]
    public Shape Case { get; set; } = null!;

    [GlobalSetup]
    public void Setup()
    {
        int queries = Case.B * Case.Tq * Case.Hq * Case.D, keys = Case.B * Case.Tk * Case.Hkv * Case.D;
        _q = Block(queries);
        _k = Block(keys);
        _v = Block(keys);
        _y = Block(queries);
        _dy = Block(queries);
        _dq = Block(queries);
        _dk = Block(keys);
        _dv = Block(keys);
        _lse = Block(Case.B * Case.Hq * Case.Tq);
        Forward();
    }

    [GlobalCleanup]
    public void Cleanup()
    {
        foreach (nint block in _blocks)
            NativeMemory.AlignedFree((void*)block);
        _blocks.Clear();
    }

    [Benchmark(Baseline = true)]
    public void Forward() => Attention.Forward(Case.Kernel, _q, _k, _v, _y, _lse);

    [Benchmark]
    public void Backward() => Attention.Backward(
        Case.Kernel, _q, _k, _v, _y, _lse, _dy, _dq, false, _dk, false, _dv, false);

    private float* Block(int count)
    {
        float* block = GemmBench.Random(count, _blocks.Count + 1);
        _blocks.Add((nint)block);
        return block;
    }
}
