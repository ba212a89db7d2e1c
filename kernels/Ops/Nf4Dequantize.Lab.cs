using CudaLora.Kernels.Runtime;
using CudaLora.Kernels.Simd;

namespace CudaLora.Kernels.Ops;

/// <summary>A random matrix made 4-bit with nested scales, on the host and on the device.</summary>
internal sealed unsafe class LabCodes : IDisposable
{
    private readonly DeviceBuffer<byte> codes, codes8;
    private readonly DeviceBuffer<float> codebook, groups, map;
    private readonly float offset;

    public LabCodes(LabInputs inputs, float[] values, int blockShift)
    {
        int blocks = (values.Length + (1 << blockShift) - 1) >> blockShift;
        byte[] packed = new byte[(values.Length + 1) / 2], bytes = new byte[blocks];
        float[] scales = new float[blocks], tops = new float[(blocks + 255) / 256];
        Values = new float[values.Length];
        fixed (float* x = values, a = scales, g = tops, y = Values)
        fixed (float* book = QuantTables.Nf4, table = QuantTables.SignedDynamic)
        fixed (byte* c = packed, c8 = bytes)
        {
            _ = Nf4Kernel.Quantize(x, values.Length, blockShift, c, a);
            foreach (float scale in scales) offset += scale / blocks;
            DynamicQuantize.Run(a, blocks, offset, 256, QuantTables.SignedDynamic, c8, g);
            Nf4Kernel.Dequantize(
                new QuantizedView
                {
                    Codes = c,
                    Codebook = book,
                    AbsMaxCodes = c8,
                    NestedAbsMax = g,
                    NestedMap = table,
                    Offset = offset,
                    BlockShift = blockShift,
                    NestedShift = 8,
                },
                y, values.Length);
        }
        BlockShift = blockShift;
        (codes, codes8) = (inputs.Upload(packed), inputs.Upload(bytes));
        (codebook, groups) = (inputs.Upload(QuantTables.Nf4.ToArray()), inputs.Upload(tops));
        map = inputs.Upload(QuantTables.SignedDynamic.ToArray());
        Bytes = packed.Length + bytes.Length + 4L * (16 + tops.Length + 256);
    }

    public int BlockShift { get; }

    /// <summary>What the CPU decodes.</summary>
    public float[] Values { get; }

    /// <summary>Bytes of codes, scales and tables.</summary>
    public long Bytes { get; }

    /// <summary>The same, rounded to bf16.</summary>
    public float[] Rounded() => ToBf16(Values);

    /// <summary>Values rounded to bf16.</summary>
    public static float[] ToBf16(float[] values)
    {
        var rounded = new float[values.Length];
        var halves = new ushort[values.Length];
        fixed (float* from = values, to = rounded)
        fixed (ushort* half = halves)
        {
            CastKernel.ToBFloat16(from, half, values.Length);
            CastKernel.FromBFloat16(half, to, values.Length);
        }
        return rounded;
    }

    public Nf4Dequantize.Args Args(ulong y, int cols, int ldY) => new(
        codes.Pointer.Address, codebook.Pointer.Address, 0, codes8.Pointer.Address, groups.Pointer.Address,
        map.Pointer.Address, y, cols, ldY, offset, BlockShift, 8);

    public void Dispose()
    {
        codes.Dispose();
        codes8.Dispose();
        codebook.Dispose();
        groups.Dispose();
        map.Dispose();
    }
}

internal abstract class Nf4DequantizeLab(bool bf16) : KernelLab
{
    private const int Gap = 64;

    public override string Stem => bf16 ? "Nf4DequantizeBf16" : "Nf4Dequantize";
    public override string Entry => bf16 ? "nf4_dequantize_bf16" : "nf4_dequantize_f32";
    public override string? Note =>
        "a block's scale, its code and the map are read by every thread of the block, from L1";
    public override string Summary => "values of NF4 codes with nested scales, into a buffer with 64 more columns";
    public override Type Args => typeof(Nf4Dequantize.Args);
    public override IReadOnlyList<string> ShapeNames => ["rows", "cols"];
    public override IReadOnlyList<int> DefaultShape => [3, 4168];
    public override IReadOnlyList<int> BenchShape => [4096, 4096];

    protected override LabRun Try(CudaContext context, IReadOnlyList<int> shape, LabInputs inputs)
    {
        (int rows, int cols) = (shape[0], shape[1]);
        using var w = new LabCodes(inputs, inputs.Values(rows * cols), 6);
        using LabTensor y = new(inputs, new float[rows * (cols + Gap)], bf16);
        Nf4Dequantize.Launch(context.Stream, bf16, rows, w.Args(y.Address, cols, cols + Gap));
        // The CPU's bits in f32; rounded once to bf16.
        return new LabRun(
            Nf4Dequantize.Shape(rows, cols), Distance(y.ToArray(), LoraPackLab.Spread(w.Values, cols, Gap, 1)),
            bf16 ? 1.0 / 256 : 0, w.Bytes + ((bf16 ? 2L : 4L) * w.Values.Length), w.Values.Length);
    }
}

internal sealed class Nf4DequantizeF32Lab() : Nf4DequantizeLab(bf16: false);

internal sealed class Nf4DequantizeBf16Lab() : Nf4DequantizeLab(bf16: true);
