using System.Runtime.InteropServices;
using BenchmarkDotNet.Attributes;
using CudaLora.Kernels.Simd;

namespace CudaLora.Bench.Ops;

/// <summary>
/// Causal attention of the CPU. Operations are those of the forward that the mask leaves, for both methods.
/// </summary>
[Config(typeof(RateConfig))]
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
        public double Flops => 4.0 * B * Hq * D * Tq * (Tk - ((Tq - 1) / 2.0));

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

    public static IEnumerable<Shape> Shapes =>
    [
        new(8, 256, 256, 8, 8, 32),
        new(4, 512, 512, 4, 4, 64),
        new(2, 512, 512, 8, 2, 64),
        new(1, 2048, 2048, 4, 4, 64),
        new(1, 1, 2048, 16, 4, 64),
    ];

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
