using System.Runtime.InteropServices;
using BenchmarkDotNet.Attributes;
using CudaLora.Cli;
using CudaLora.Kernels.Simd;

namespace CudaLora.Bench.Ops;

/// <summary>
/// The CPU matrix product, square and in the thin shapes of LoRA. The baseline does the same number of operations
/// between registers, so Ratio is (processor peak) / (product): 1.18 means 85 % of the peak.
/// </summary>
[Config(typeof(BenchConfig))]
public unsafe class GemmBench
{
    private float* _a;
    private float* _b;
    private float* _c;

    public sealed record Shape(string Name, bool TransA, bool TransB, int M, int N, int K, float Beta) : IWork
    {
        public double Flops => 2.0 * M * N * K;

        Work IWork.Of(string method) => method == nameof(Peak)
            ? new Work(Flops)
            : new Work(Flops, 4 * (((double)M * K) + ((double)N * K) + ((Beta == 0 ? 1.0 : 2.0) * M * N)));

        public override string ToString() => $"{Name} {M}x{N}x{K}";
    }

    public static IEnumerable<Shape> Shapes =>
    [
        new("square", false, false, 512, 512, 512, 0),
        new("square", false, false, 1024, 1024, 1024, 0),
        new("square", false, false, 2048, 2048, 2048, 0),
        new("y=xWt", false, true, 2048, 256, 256, 0),
        new("dx=dyW", false, false, 2048, 256, 256, 0),
        new("mlp up", false, true, 2048, 1024, 256, 0),
        new("mlp down", false, true, 2048, 256, 1024, 0),
        new("logits", false, true, 512, 4096, 256, 0),
        new("S=xAt", false, true, 2048, 8, 256, 0),
        new("S=xAt", false, true, 512, 16, 2048, 0),
        new("y+=SBt", false, true, 2048, 256, 8, 1),
        new("y+=SBt", false, true, 512, 2048, 16, 1),
        new("dS=dyB", false, false, 2048, 8, 256, 0),
        new("dA=dStx", true, false, 8, 256, 2048, 1),
        new("dB=dytS", true, false, 256, 8, 2048, 1),
        new("decode", false, true, 1, 2048, 2048, 0),
        new("decode", false, true, 16, 2048, 2048, 0),
    ];

    [ParamsSource(nameof(Shapes))]
    public Shape Case { get; set; } = null!;

    [GlobalSetup]
    public void Setup()
    {
        _a = Random(Case.M * Case.K, 1);
        _b = Random(Case.N * Case.K, 2);
        _c = Random(Case.M * Case.N, 3);
    }

    [GlobalCleanup]
    public void Cleanup()
    {
        NativeMemory.AlignedFree(_a);
        NativeMemory.AlignedFree(_b);
        NativeMemory.AlignedFree(_c);
    }

    [Benchmark(Baseline = true)]
    public void Peak() => FmaPeak.Run(Case.Flops);

    [Benchmark]
    public void Product() => Gemm.Run(
        Case.TransA, Case.TransB, Case.M, Case.N, Case.K, 1, _a, Case.TransA ? Case.M : Case.K,
        _b, Case.TransB ? Case.K : Case.N, Case.Beta, _c, Case.N);

    internal static float* Random(int count, int seed)
    {
        var values = (float*)NativeMemory.AlignedAlloc((nuint)count * sizeof(float), 64);
        var random = new Random(seed);
        for (int i = 0; i < count; i++)
            values[i] = (float)(random.NextDouble() - 0.5) * 0.01f;
        return values;
    }
}
