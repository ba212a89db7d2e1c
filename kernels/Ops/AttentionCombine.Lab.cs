using CudaLora.Kernels.Runtime;

namespace CudaLora.Kernels.Ops;

internal abstract class AttentionCombineLab(bool bf16) : KernelLab
{
    public override string Stem => "AttentionCombine";
    public override string Entry => bf16 ? "attention_combine_bf16" : "attention_combine_f32";
    public override string? Note => "a row's maxima and sums are read by every element of it, from L1";
    public override string Summary => "y and log-sum-exp from the parts of blocks that shared the keys of a query";
    public override Type Args => typeof(Attention.CombineArgs);
    public override IReadOnlyList<string> ShapeNames => ["splits", "batch", "queries", "heads", "size"];
    public override IReadOnlyList<int> DefaultShape => [35, 2, 3, 2, 72];

    protected override LabRun Try(CudaContext context, IReadOnlyList<int> shape, LabInputs inputs)
    {
        (int splits, int queries, int heads, int size) = (shape[0], shape[2], shape[3], shape[4]);
        int rows = shape[1] * queries * heads;
        float[] partial = inputs.Values(splits * rows * size), lse = inputs.Values(splits * rows);
        // The first row saw nothing at all, the second nothing in its first split.
        for (int s = 0; s < splits; s++) lse[s * rows] = float.NegativeInfinity;
        if (rows > 1) lse[1] = float.NegativeInfinity;
        using DeviceBuffer<float> devicePartial = inputs.Device(partial), deviceLse = inputs.Device(lse);
        using var y = new LabTensor(inputs, rows * size, bf16);
        using DeviceBuffer<float> total = inputs.Empty<float>(rows);
        Attention.Combine(
            context.Stream, bf16,
            new(
                devicePartial.Pointer.Address, deviceLse.Pointer.Address, y.Address, total.Pointer.Address, rows,
                queries, heads, size, splits));
        double[] expected = new double[rows * size], sums = new double[rows];
        for (int row = 0; row < rows; row++)
        {
            int head = row / queries % heads, at = (row / queries / heads * queries + row % queries) * heads + head;
            for (int s = 0; s < splits; s++) sums[row] += Math.Exp(lse[s * rows + row]);
            for (int i = 0; i < splits * size && sums[row] > 0; i++)
            {
                int s = i / size;
                expected[at * size + i % size] +=
                    Math.Exp(lse[s * rows + row]) / sums[row] * partial[(s * rows + at) * size + i % size];
            }
        }
        // Sums of at most 64 terms, exponentials to 2^-22; bf16 keeps 8 bits.
        double error = Math.Max(
            Distance(y.ToArray(), expected),
            AttentionLab.LseDistance(total.ToArray(), [.. sums.Select(sum => Math.Log(sum))]));
        long bytes = 4L * (partial.Length + lse.Length + rows) + (bf16 ? 2L : 4L) * expected.Length;
        return new LabRun(
            Attention.CombineShape(rows), error, bf16 ? 1.0 / 256 : 2e-6, bytes, 2.0 * partial.Length);
    }

    internal sealed class F32() : AttentionCombineLab(bf16: false);
    internal sealed class Bf16() : AttentionCombineLab(bf16: true);
}
