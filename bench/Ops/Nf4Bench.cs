using BenchmarkDotNet.Attributes;
using CudaLora.Kernels.Simd;

namespace CudaLora.Bench.Ops;

/// <summary>
/// Quantising and dequantising 64 Mi values; GB/s of what must be read and written. The baseline copies 64 Mi floats:
/// the bandwidth that there is.
/// </summary>
[Config(typeof(BenchConfig))]
public unsafe class Nf4Bench
{
    private const int Count = 1 << 26;

    // A float, half a byte of code, and a scale for 64 values.
    private const double BytesPerValue = 4 + 0.5 + (4 / 64.0);

    private float* values;
    private float* target;
    private float* scales;
    private QuantizedView codes;

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

    /// <summary>The bandwidth that there is.</summary>
    [Benchmark(Baseline = true)]
    [Work(Bytes = 8.0 * Count)]
    public void Copy() => VectorOps.Copy(values, target, Count);

    [Benchmark]
    [Work(Bytes = BytesPerValue * Count)]
    public void Quantize() => Nf4Kernel.Quantize(values, Count, 6, codes.Codes, scales);

    [Benchmark]
    [Work(Bytes = BytesPerValue * Count)]
    public void Dequantize() => Nf4Kernel.Dequantize(codes, target, Count);
}
