using BenchmarkDotNet.Attributes;
using CudaLora.Kernels.Simd;

namespace CudaLora.Bench.Ops;

/// <summary>
/// Quantising and dequantising 64 Mi values; GB/s of what must be read and written. The baseline copies 64 Mi floats:
/// the bandwidth that there is.
/// </summary>
[Config(typeof(RateConfig))]
public unsafe class Nf4Bench
{
    private const int Count = 1 << 26;

    private float* values;
    private float* target;
    private float* scales;
    private QuantizedView codes;

    public sealed record Bytes(double Flops) : IWork
    {
        public override string ToString() => "64 Mi values";
    }

    public static IEnumerable<Bytes> Cases => [new(Count * 4.5)];

    [ParamsSource(nameof(Cases))]
    public Bytes Case { get; set; } = null!;

    [GlobalSetup]
    public void Setup()
    {
        values = QuantizedGemvBench.Native<float>(Count);
        target = QuantizedGemvBench.Native<float>(Count);
        scales = QuantizedGemvBench.Native<float>(Count / 64);
        RandomFill.Normal(values, Count, 0, 0.02f, 1, 0);
        codes = QuantizedGemvBench.Quantized(values, Count);
        VectorOps.Copy(values, target, Count);
    }

    /// <summary>8 bytes per value; the rate column counts 4.5.</summary>
    [Benchmark(Baseline = true)]
    public void Copy() => VectorOps.Copy(values, target, Count);

    [Benchmark]
    public void Quantize() => Nf4Kernel.Quantize(values, Count, 6, codes.Codes, scales);

    [Benchmark]
    public void Dequantize() => Nf4Kernel.Dequantize(codes, target, Count);
}
