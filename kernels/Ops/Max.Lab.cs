using CudaLora.Kernels.Runtime;

namespace CudaLora.Kernels.Ops;

internal abstract class MaxLab(bool rows, bool bf16) : KernelLab
{
    public override string Stem => bf16 ? "MaxBf16" : "Max";
    public override string Entry => (rows ? "max_rows_" : "max_columns_") + (bf16 ? "bf16" : "f32");
    public override string Summary => rows ? "largest of each row, and where" : "largest of each column, and where";
    public override Type Args => rows ? typeof(Max.RowsArgs) : typeof(Max.ColumnsArgs);
    public override IReadOnlyList<string> ShapeNames => rows ? ["rows", "cols"] : ["outer", "rows", "cols"];
    public override IReadOnlyList<int> DefaultShape => rows ? [4, 1003] : [2, 37, 261];
    public override IReadOnlyList<int> BenchShape => rows ? [4096, 4096] : [64, 64, 4096];

    protected override LabRun Try(CudaContext context, IReadOnlyList<int> shape, LabInputs inputs)
    {
        (int outer, int axis, int inner) = rows ? (shape[0], shape[1], 1) : (shape[0], shape[1], shape[2]);
        int cells = outer * inner;
        // Few distinct values, so that the first of several maxima matters.
        float[] x = [.. inputs.Values(cells * axis).Select(value => MathF.Round(2 * value))];
        using LabTensor from = new(inputs, x, bf16), y = new(inputs, cells, bf16);
        using DeviceBuffer<int> at = inputs.Empty<int>(cells);
        Max.Axis(context.Stream, from.Address, outer, axis, inner, y.Address, at.Pointer.Address, bf16);
        double[] expected = new double[2 * cells];
        for (int cell = 0; cell < cells; cell++)
        {
            int first = cell / inner * axis * inner + cell % inner, best = 0;
            for (int k = 1; k < axis; k++)
            {
                if (x[first + k * inner] > x[first + best * inner]) best = k;
            }
            (expected[cell], expected[cells + cell]) = (x[first + best * inner], best);
        }
        float[] actual = [.. y.ToArray(), .. at.ToArray().Select(index => (float)index)];
        return new LabRun(
            rows ? new(outer, Pointwise.Block) : Pointwise.Grid(cells), Distance(actual, expected), 0,
            (bf16 ? 2L : 4L) * (x.Length + cells) + 4L * cells, x.Length);
    }

    internal sealed class RowsF32() : MaxLab(rows: true, bf16: false);
    internal sealed class RowsBf16() : MaxLab(rows: true, bf16: true);
    internal sealed class ColumnsF32() : MaxLab(rows: false, bf16: false);
    internal sealed class ColumnsBf16() : MaxLab(rows: false, bf16: true);
}

internal abstract class MaxBackwardLab(bool bf16) : KernelLab
{
    public override string Stem => bf16 ? "MaxBf16" : "Max";
    public override string Entry => bf16 ? "max_backward_bf16" : "max_backward_f32";
    public override string Summary => "dx += dy where the maximum was";
    public override Type Args => typeof(Max.BackwardArgs);
    public override IReadOnlyList<string> ShapeNames => ["outer", "rows", "cols"];
    public override IReadOnlyList<int> DefaultShape => [2, 5, 261];
    public override IReadOnlyList<int> BenchShape => [64, 64, 4096];

    protected override LabRun Try(CudaContext context, IReadOnlyList<int> shape, LabInputs inputs)
    {
        (int outer, int rows, int cols) = (shape[0], shape[1], shape[2]);
        int cells = outer * cols;
        float[] dy = inputs.Values(cells), start = inputs.Values(cells * rows);
        int[] at = [.. inputs.Values(cells).Select((value, cell) => (cell + (value > 0 ? 1 : 0)) % rows)];
        using LabTensor from = new(inputs, dy, bf16), to = new(inputs, start, bf16);
        using DeviceBuffer<int> places = context.Memory.Upload<int>(at);
        Max.AxisBackward(
            context.Stream, from.Address, places.Pointer.Address, outer, rows, cols, to.Address, accumulate: true,
            bf16);
        double[] expected = [.. start.Select(value => (double)value)];
        for (int cell = 0; cell < cells; cell++)
            expected[(cell / cols * rows + at[cell]) * cols + cell % cols] += dy[cell];
        // One rounding of f32, or half a unit of 8 bits.
        return new LabRun(
            Pointwise.Grid(cells), Distance(to.ToArray(), expected), bf16 ? 1.0 / 250 : 1e-7,
            (bf16 ? 6L : 12L) * cells + 4L * cells, cells);
    }

    internal sealed class F32() : MaxBackwardLab(bf16: false);
    internal sealed class Bf16() : MaxBackwardLab(bf16: true);
}
