using System.Runtime.InteropServices;
using BenchmarkDotNet.Attributes;
using CudaLora.Kernels.Simd;

namespace CudaLora.Bench.Ops;

/// <summary>
/// y = x Wᵀ for few tokens with W (4096, 4096) in 16, 32 and 4 bits (nested scales). Several matrices take turns, more
/// than caches hold, so that every weight comes from memory: Ratio is against the 16-bit product.
/// </summary>
[Config(typeof(BenchConfig))]
public unsafe class QuantizedGemvBench
{
    private const int Size = 4096;
    private const int Matrices = 12;

    private readonly ushort*[] narrow = new ushort*[Matrices];
    private readonly float*[] wide = new float*[Matrices];
    private readonly QuantizedView[] codes = new QuantizedView[Matrices];
    private float* x;
    private float* y;
    private int turn;

    public sealed record Tokens(int Count) : IWork
    {
        Work IWork.Of(string method)
        {
            var perWeight = method switch
            {
                nameof(Bf16) => sizeof(ushort),
                nameof(F32) => sizeof(float),
                // A code, and the code of a block's scale.
                _ => 0.5 + (1 / 64.0),
            };
            return new Work(
                2.0 * Count * Size * Size, (perWeight * Size * Size) + (2.0 * sizeof(float) * Count * Size));
        }

        public override string ToString() => $"{Count} x {Size} x {Size}";
    }

    public static IEnumerable<Tokens> Cases => [new(1), new(4), new(16)];

    [ParamsSource(nameof(Cases))]
    public Tokens Case { get; set; } = null!;

    [GlobalSetup]
    public void Setup()
    {
        const int n = Size * Size;
        x = Native<float>(16 * Size);
        y = Native<float>(16 * Size);
        RandomFill.Normal(x, 16 * Size, 0, 1, 1, 0);
        for (int i = 0; i < Matrices; i++)
        {
            wide[i] = Native<float>(n);
            RandomFill.Normal(wide[i], n, 0, 0.02f, 2, (ulong)i);
            narrow[i] = Native<ushort>(n);
            CastKernel.ToBFloat16(wide[i], narrow[i], n);
            codes[i] = Quantized(wide[i], n);
        }
    }

    [Benchmark(Baseline = true)]
    public void Bf16() => Gemm.Run(
        false, true, Case.Count, Size, Size, 1, x, Size, narrow[Next()], Size, 0, y, Size);

    [Benchmark]
    public void F32() => Gemm.Run(false, true, Case.Count, Size, Size, 1, x, Size, wide[Next()], Size, 0, y, Size);

    [Benchmark]
    public void Nf4() => QuantizedGemm.Forward(codes[Next()], Case.Count, Size, Size, x, 0, y);

    internal static QuantizedView Quantized(float* values, int n)
    {
        var view = new QuantizedView
        {
            Codes = Native<byte>(n / 2),
            Codebook = Native<float>(16),
            AbsMaxCodes = Native<byte>(n / 64),
            NestedAbsMax = Native<float>(n / 64 / 256),
            NestedMap = Native<float>(256),
            BlockShift = 6,
            NestedShift = 8,
        };
        float* scales = Native<float>(n / 64);
        Nf4Kernel.Quantize(values, n, 6, view.Codes, scales);
        for (int i = 0; i < n / 64; i++)
            view.Offset += scales[i] / (n / 64);
        DynamicQuantize.Run(
            scales, n / 64, view.Offset, 256, QuantTables.SignedDynamic, view.AbsMaxCodes, view.NestedAbsMax);
        QuantTables.Nf4.CopyTo(new Span<float>(view.Codebook, 16));
        QuantTables.SignedDynamic.CopyTo(new Span<float>(view.NestedMap, 256));
        NativeMemory.AlignedFree(scales);
        return view;
    }

    internal static T* Native<T>(int count)
        where T : unmanaged => (T*)NativeMemory.AlignedAlloc((nuint)count * (nuint)sizeof(T), 64);

    private int Next() => turn = (turn + 1) % Matrices;
}
