using CudaLora.Kernels.Runtime;

namespace CudaLora.Kernels.Ops;

/// <summary>
/// Both directions with an adapter and a bias; a sum of one part is added to y in bf16, more are left as f32 parts.
/// </summary>
internal abstract class Nf4GemmLab(bool backward) : KernelLab
{
    private const float Scale = 0.75f;

    public override string Stem => backward ? "Nf4GemmNn" : "Nf4Gemm";
    public override string Entry => backward ? "nf4_gemm_nn_bf16" : "nf4_gemm_nt_bf16";
    public override string Summary => backward
        ? "dx = dy W0 + ds A, W0 in 4 bits and decoded in registers (mma.sync)"
        : "y = x W0^T + s (scale B)^T + bias, W0 in 4 bits and decoded in registers (mma.sync)";
    public override string? Note =>
        "x is read by every 128 columns, codes by every 64 tokens, again from L2; scales by every thread that copies";
    public override Type Args => typeof(Nf4Gemm.Args);
    public override IReadOnlyList<string> ShapeNames => ["tokens", "in", "out", "ranks"];
    public override IReadOnlyList<int> DefaultShape => backward ? [70, 160, 1101, 21] : [70, 1184, 150, 21];
    public override IReadOnlyList<int> BenchShape => [64, 4096, 4096, 16];

    protected override LabRun Try(CudaContext context, IReadOnlyList<int> shape, LabInputs inputs)
    {
        (int tokens, int width, int outputs, int ranks) = (shape[0], shape[1], shape[2], shape[3]);
        (int depth, int columns) = backward ? (outputs, width) : (width, outputs);
        int pitch = Pitch(depth), rankPitch = width % 32 == 0 ? Pitch(ranks) : ranks;
        float[] x = inputs.Values(tokens * pitch), s = inputs.Values(tokens * rankPitch);
        float[] u = inputs.Values(columns * ranks), bias = inputs.Values(columns), y = inputs.Values(tokens * columns);
        using var w = new LabCodes(inputs, inputs.Values(outputs * width), 6);
        using LabTensor dx = new(inputs, x, bf16: true), ds = new(inputs, s, bf16: true);
        using LabTensor du = new(inputs, u, bf16: false), dbias = new(inputs, bias, bf16: false);
        using LabTensor dy = new(inputs, y, bf16: true);
        (int parts, int perPart) = Nf4Gemm.Divide(tokens, columns, depth);
        using LabTensor dparts = new(inputs, (long)parts * tokens * columns, bf16: false);
        Nf4Dequantize.Args codes = w.Args(0, width, width);
        var args = new Nf4Gemm.Args(
            codes.Codes, codes.Codebook, codes.AbsMax, codes.Codes8, codes.Groups, codes.Map, dx.Address, ds.Address,
            du.Address, dbias.Address, dy.Address, parts > 1 ? dparts.Address : 0, tokens, width, outputs, ranks, pitch,
            rankPitch, columns, Scale, codes.Offset, codes.BlockShift, codes.GroupShift, perPart, 1);
        if (backward) Nf4Gemm.Backward(context.Stream, parts, args);
        else Nf4Gemm.Forward(context.Stream, parts, args);
        int[] rows = LabRows.Of(tokens, (double)depth * columns);
        double[] expected = Expected(rows, x, pitch, s, rankPitch, u, bias, parts > 1 ? null : y, w.Rounded(), shape);
        float[] actual = LabRows.Pick(
            parts > 1 ? Added(dparts.ToArray(), parts, tokens * columns) : dy.ToArray(), columns, rows);
        // Products of bf16 are exact in f32; the tensor core truncates each partial sum. bf16 is rounded once.
        double tolerance = parts > 1 ? 1e-6 + (depth * 2.4e-7) : 1.0 / 256;
        long sums = (long)tokens * columns;
        long bytes = w.Bytes + (2L * tokens * (depth + ranks)) + (4L * (u.Length + columns))
            + (parts > 1 ? 4L * parts * sums : 4L * sums);
        return new LabRun(
            Nf4Gemm.Shape(tokens, columns, parts), Distance(actual, expected), tolerance, bytes,
            2.0 * sums * (depth + ranks));
    }

    // What the adapter's matrix is when it has been scaled and rounded, on the host.
    private double[] Expected(
        int[] rows, float[] x, int pitch, float[] s, int rankPitch, float[] u, float[] bias, float[]? y, float[] w,
        IReadOnlyList<int> shape)
    {
        (int width, int outputs, int ranks) = (shape[1], shape[2], shape[3]);
        (int depth, int columns) = backward ? (outputs, width) : (width, outputs);
        float[] scaled = LabCodes.ToBf16([.. u.Select(value => Scale * value)]);
        var expected = new double[rows.Length * columns];
        for (int e = 0; e < expected.Length; e++)
        {
            (int t, int c) = (rows[e / columns], e % columns);
            double sum = bias[c] + (double)(y is null ? 0 : y[(t * columns) + c]);
            for (int k = 0; k < depth; k++)
                sum += (double)x[(t * pitch) + k] * w[backward ? (k * width) + c : (c * width) + k];
            for (int k = 0; k < ranks; k++)
                sum += (double)s[(t * rankPitch) + k] * scaled[backward ? (k * width) + c : (c * ranks) + k];
            expected[e] = sum;
        }
        return expected;
    }

    private static float[] Added(float[] parts, int count, int size)
    {
        var sums = new float[size];
        for (int i = 0; i < size; i++)
        {
            double sum = 0;
            for (int part = 0; part < count; part++) sum += parts[(part * size) + i];
            sums[i] = (float)sum;
        }
        return sums;
    }

    // Rows of whole units of 16 bytes.
    private static int Pitch(int width) => (width + 7) / 8 * 8;
}

internal sealed class Nf4GemmNtLab() : Nf4GemmLab(backward: false);

internal sealed class Nf4GemmNnLab() : Nf4GemmLab(backward: true);
