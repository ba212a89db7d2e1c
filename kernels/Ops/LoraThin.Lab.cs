using CudaLora.Kernels.Runtime;
using CudaLora.Kernels.Simd;

namespace CudaLora.Kernels.Ops;

/// <summary>One pass that projects and reduces with dropout, on rows of odd width; the host sums the parts.</summary>
internal abstract class LoraThinLab(bool bf16) : KernelLab
{
    private const float Probability = 0.25f;
    private const ulong Seed = 0x1234567890, Stream = 77;

    public override string Stem => bf16 ? "LoraThinBf16" : "LoraThin";
    public override string Entry => bf16 ? "lora_thin_bf16" : "lora_thin_f32";
    public override string? Note =>
        "parts per chunk of rows are written, and A read by each; odd widths go element by element, with conflicts";
    public override string Summary => "one pass over x: drop(x) u and left^T drop(x), parts in fixed order";
    public override Type Args => typeof(LoraThin.Args);
    public override IReadOnlyList<string> ShapeNames => ["rows", "cols", "ranks"];
    public override IReadOnlyList<int> DefaultShape => [69, 531, 19];
    public override IReadOnlyList<int> BenchShape => [8192, 4096, 16];

    protected override LabRun Try(CudaContext context, IReadOnlyList<int> shape, LabInputs inputs)
    {
        (int rows, int cols, int ranks) = (shape[0], shape[1], shape[2]);
        float[] x = inputs.Values(rows * cols), u = inputs.Values(ranks * cols), left = inputs.Values(rows * ranks);
        using LabTensor dx = new(inputs, x, bf16), dleft = new(inputs, left, bf16);
        // The bf16 entry rounds u itself; the oracle sees it rounded too.
        if (bf16) inputs.DeviceBf16(u).Dispose();
        using DeviceBuffer<float> du = inputs.Device(u);
        // Counters of captured steps are read from memory.
        using DeviceBuffer<ulong> counter = context.Memory.Upload<ulong>([Stream - 7]);
        int perChunk = LoraThin.RowsPerChunk(rows, cols, ranks, bf16), pitch = LoraThin.ReducedPitch(cols);
        (int across, int down) = (LoraThin.ColumnParts(cols, bf16), LoraThin.RowParts(rows, perChunk));
        using DeviceBuffer<float> projected = inputs.Empty<float>((long)across * rows * ranks);
        using DeviceBuffer<float> reduced = inputs.Empty<float>((long)down * ranks * pitch);
        LoraThin.Pass(
            context.Stream,
            new(
                dx.Address, du.Pointer.Address, dleft.Address, projected.Pointer.Address, reduced.Pointer.Address, Seed,
                7, counter.Pointer.Address, rows, cols, cols, ranks, 1, cols, ranks, perChunk,
                DropoutKernel.Threshold(Probability)),
            bf16);
        double[] kept = Dropped(x);
        double error = Math.Max(
            Distance(Total(projected.ToArray(), across, rows, ranks, ranks), Project(kept, u, rows, cols, ranks)),
            Distance(Total(reduced.ToArray(), down, ranks, cols, pitch), Reduce(kept, left, rows, cols, ranks)));
        // f32 sums of some hundred terms; the tensor core truncates each, 2^-23 of its size.
        double tolerance = bf16 ? 1e-4 : 1e-5;
        int size = bf16 ? 2 : 4;
        long bytes = (long)size * (x.Length + left.Length) + 4L * (u.Length + rows * ranks + (long)ranks * cols);
        return new LabRun(
            LoraThin.Shape(rows, cols, ranks, perChunk, bf16), error, tolerance, bytes, 4.0 * rows * cols * ranks);
    }

    private static unsafe double[] Dropped(float[] x)
    {
        var words = stackalloc uint[4];
        var kept = new double[x.Length];
        for (int i = 0; i < x.Length; i++)
        {
            Philox.Block((ulong)i / 4, Stream, Seed, words);
            kept[i] = words[i % 4] < DropoutKernel.Threshold(Probability) ? 0 : x[i];
        }
        return kept;
    }

    private static float[] Total(float[] parts, int count, int rows, int cols, int pitch)
    {
        var sum = new float[rows * cols];
        for (int p = 0; p < count; p++)
        {
            for (int i = 0; i < sum.Length; i++) sum[i] += parts[(p * rows + i / cols) * pitch + i % cols];
        }
        return sum;
    }

    private static double[] Project(double[] x, float[] u, int rows, int cols, int ranks)
    {
        var result = new double[rows * ranks];
        for (int i = 0; i < result.Length; i++)
        {
            for (int c = 0; c < cols; c++) result[i] += x[i / ranks * cols + c] * u[i % ranks * cols + c];
        }
        return result;
    }

    private static double[] Reduce(double[] x, float[] left, int rows, int cols, int ranks)
    {
        var result = new double[ranks * cols];
        for (int i = 0; i < result.Length; i++)
        {
            for (int r = 0; r < rows; r++) result[i] += left[r * ranks + i / cols] * x[r * cols + i % cols];
        }
        return result;
    }

    internal sealed class F32() : LoraThinLab(bf16: false);
    internal sealed class Bf16() : LoraThinLab(bf16: true);
}

internal sealed class LoraThinSumLab : KernelLab
{
    public override string Stem => "LoraThin";
    public override string Entry => "lora_thin_sum_f32";
    public override string Summary => "out += scale * the sum of the parts, in order; transposed here";
    public override Type Args => typeof(LoraThin.SumArgs);
    public override IReadOnlyList<string> ShapeNames => ["parts", "rows", "cols"];
    public override IReadOnlyList<int> DefaultShape => [5, 7, 61];
    public override IReadOnlyList<int> BenchShape => [16, 16, 4096];

    protected override LabRun Try(CudaContext context, IReadOnlyList<int> shape, LabInputs inputs)
    {
        (int parts, int rows, int cols) = (shape[0], shape[1], shape[2]);
        float[] from = inputs.Values(parts * rows * cols), start = inputs.Values(rows * cols);
        using DeviceBuffer<float> dfrom = inputs.Device(from), dout = inputs.Device(start);
        LoraThin.Sum(
            context.Stream,
            new(
                dfrom.Pointer.Address, dout.Pointer.Address, parts, rows, cols, cols, rows, 1, rows, 0.5f,
                Accumulate: 1, OutBf16: 0));
        double[] expected = [.. start.Select(value => (double)value)];
        for (int i = 0; i < from.Length; i++)
        {
            int at = i % (rows * cols);
            expected[at % cols * rows + at / cols] += 0.5 * from[i];
        }
        return new LabRun(
            LoraThin.SumShape(rows, cols), Distance(dout.ToArray(), expected), 1e-6,
            4L * (from.Length + 2 * start.Length), from.Length);
    }
}
