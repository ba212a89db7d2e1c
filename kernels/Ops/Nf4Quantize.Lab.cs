using CudaLora.Kernels.Runtime;
using CudaLora.Kernels.Simd;

namespace CudaLora.Kernels.Ops;

internal abstract unsafe class Nf4QuantizeLab(bool bf16) : KernelLab
{
    public override string Stem => bf16 ? "Nf4QuantizeBf16" : "Nf4Quantize";
    public override string Entry => bf16 ? "nf4_quantize_bf16" : "nf4_quantize_f32";
    public override string Summary => "NF4 codes and scales of blocks";
    public override Type Args => typeof(Nf4Quantize.Args);
    public override IReadOnlyList<string> ShapeNames => ["n", "block size"];
    public override IReadOnlyList<int> DefaultShape => [1133, 64];
    public override IReadOnlyList<int> BenchShape => [4096 * 4096, 64];

    protected override LabRun Try(CudaContext context, IReadOnlyList<int> shape, LabInputs inputs)
    {
        (int n, int size) = (shape[0], shape[1]);
        if (size is < 32 or > 4096 || !int.IsPow2(size))
            throw new ArgumentException($"[{Entry}] block size must be a power of two from 32 to 4096, but got {size}");
        int blockShift = int.Log2(size), blocks = (n + size - 1) / size;
        float[] values = inputs.Values(n);
        // A block of zeros, and a border itself beside the largest value of its block.
        values.AsSpan(0, Math.Min(n, size)).Clear();
        if (n > size + 1) (values[size], values[size + 1]) = (4, 4 * QuantTables.Nf4Borders[8]);
        using LabTensor x = new(inputs, values, bf16);
        using DeviceBuffer<byte> codes = inputs.Empty<byte>((n + 1) / 2);
        using DeviceBuffer<float> scales = inputs.Empty<float>(blocks);
        using DeviceBuffer<int> flag = inputs.Upload([0, 0]);
        Nf4Quantize.Launch(
            context.Stream, bf16,
            new(x.Address, codes.Pointer.Address, scales.Pointer.Address, flag.Pointer.Address, n, blockShift));
        byte[] expectedCodes = new byte[(n + 1) / 2];
        float[] expectedScales = new float[blocks];
        fixed (float* v = values, a = expectedScales)
        fixed (byte* c = expectedCodes) _ = Nf4Kernel.Quantize(v, n, blockShift, c, a);
        // The CPU's bits.
        int different = expectedCodes.Zip(codes.ToArray()).Count(pair => pair.First != pair.Second)
            + expectedScales.Zip(scales.ToArray()).Count(pair => pair.First != pair.Second) + flag.ToArray()[0];
        return new LabRun(
            Nf4Quantize.Shape(n, blockShift), different, 0, ((bf16 ? 2L : 4L) * n) + (n / 2) + (4L * blocks), n);
    }
}

internal sealed class Nf4QuantizeF32Lab() : Nf4QuantizeLab(bf16: false);

internal sealed class Nf4QuantizeBf16Lab() : Nf4QuantizeLab(bf16: true);
