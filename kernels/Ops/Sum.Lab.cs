using CudaLora.Kernels.Runtime;

namespace CudaLora.Kernels.Ops;

/// <summary>One launch over an axis that needs no second: y += scale * sum of x, y in f32.</summary>
internal abstract class SumLab(bool rows, bool bf16) : KernelLab
{
    private const float Factor = 0.5f;

    public override string Stem => (rows ? "Sum" : "SumColumns") + (bf16 ? "Bf16" : "");
    public override string Entry => (rows ? "sum_rows_" : "sum_columns_") + (bf16 ? "bf16" : "f32");
    public override string Summary => rows ? "y += scale * sum along each row" : "y += scale * sum down each column";
    public override Type Args => typeof(Sum.Args);
    public override IReadOnlyList<string> ShapeNames => rows ? ["rows", "cols"] : ["outer", "rows", "cols"];
    public override IReadOnlyList<int> DefaultShape => rows ? [5, 1096] : [2, 61, 264];
    public override IReadOnlyList<int> BenchShape => rows ? [4096, 4096] : [64, 256, 4096];

    protected override LabRun Try(CudaContext context, IReadOnlyList<int> shape, LabInputs inputs)
    {
        (int outer, int axis, int inner) = rows ? (shape[0], shape[1], 1) : (shape[0], shape[1], shape[2]);
        float[] x = inputs.Values(outer * axis * inner), start = inputs.Values(outer * inner);
        using LabTensor from = new(inputs, x, bf16), to = new(inputs, start, bf16: false);
        using DeviceBuffer<float> scratch = inputs.Empty<float>(
            Math.Max(1, Sum.ScratchCount(outer, axis, inner, bf16)));
        Sum.Axis(
            context.Stream, from.Address, bf16, outer, axis, inner, Factor, to.Address, bf16Y: false, accumulate: true,
            scratch.Pointer.Address);
        double[] expected = [.. start.Select(value => (double)value)];
        for (int i = 0; i < x.Length; i++) expected[i / (axis * inner) * inner + i % inner] += Factor * (double)x[i];
        int perVector = inner % Pointwise.PerVector(bf16) == 0 ? Pointwise.PerVector(bf16) : 1;
        // Sums of thousands of f32 terms keep about six digits.
        return new LabRun(
            rows ? Sum.RowsShape(outer, 1) : Sum.ColumnsShape(outer, 1, inner, perVector),
            Distance(to.ToArray(), expected), 1e-5, (bf16 ? 2L : 4L) * x.Length + 8L * start.Length, x.Length);
    }

    internal sealed class RowsF32() : SumLab(rows: true, bf16: false);
    internal sealed class RowsBf16() : SumLab(rows: true, bf16: true);
    internal sealed class ColumnsF32() : SumLab(rows: false, bf16: false);
    internal sealed class ColumnsBf16() : SumLab(rows: false, bf16: true);
}
