using CudaLora.Kernels.Driver;
using CudaLora.Kernels.Runtime;

namespace CudaLora.Kernels.Ops;

/// <summary>Shared by the passes of the embedding; Bf16 is the type of y and dy.</summary>
internal abstract class EmbeddingLab(bool tableBf16, bool bf16) : RowLab(bf16)
{
    protected const int Vocabulary = 7;

    public override string Stem => "Embedding";

    protected bool TableBf16 => tableBf16;

    // A copy, or one rounding; sums of a few rows in f32.
    protected override int Roundings => Bf16 && !(tableBf16 && Entry.Contains("forward", StringComparison.Ordinal))
        ? 1 : 0;

    // Id 4 often, id 6 never, the others now and then.
    protected static int[] Ids(int rows) => [.. Enumerable.Range(0, rows).Select(r => r % 3 == 0 ? r * 5 % 6 : 4)];

    internal abstract class ForwardLab(bool tableBf16, bool bf16) : EmbeddingLab(tableBf16, bf16)
    {
        public override string Entry => Typed(TableBf16 == Bf16 ? "embedding_forward"
            : TableBf16 ? "embedding_widen" : "embedding_round");
        public override string Summary =>
            $"y = table[ids], {(TableBf16 ? "bf16" : "f32")} to {(Bf16 ? "bf16" : "f32")}";
        public override Type Args => typeof(Embedding.ForwardArgs);
        public override string? Note => "every thread reads its row's id: one sector a warp";

        protected override LabRun Try(CudaContext context, IReadOnlyList<int> shape, LabInputs inputs)
        {
            (int rows, int cols, int count) = (shape[0], shape[1], shape[0] * shape[1]);
            float[] values = inputs.Values(Vocabulary * cols);
            int[] ids = Ids(rows);
            using var table = new LabTensor(inputs, values, TableBf16);
            using LabTensor y = Tensor(inputs, count);
            using DeviceBuffer<int> idsOn = context.Memory.Upload<int>(ids);
            Embedding.Forward(
                context.Stream, new(table.Address, idsOn.Pointer, y.Address, rows, cols), TableBf16, Bf16);
            var expected = new double[count];
            for (int i = 0; i < count; i++) expected[i] = values[ids[i / cols] * cols + i % cols];
            return new LabRun(
                RowTeam.Shape(rows, cols, Bf16, 0), Distance(y.ToArray(), expected), Tolerance,
                ((TableBf16 ? 2 : 4) + Size) * count + 4L * rows, 0);
        }
    }

    internal abstract class BackwardLab(bool tableBf16, bool bf16) : EmbeddingLab(tableBf16, bf16)
    {
        public override string Stem => "EmbeddingBackward" + (TableBf16 ? "Bf16" : Bf16 ? "Mixed" : "");
        public override string Entry => Typed(TableBf16 == Bf16 ? "embedding_backward" : "embedding_backward_mixed");
        public override string Summary => "dtable[id] += sum of the rows of dy with that id";
        public override Type Args => typeof(Embedding.BackwardArgs);
        public override IReadOnlyList<int> DefaultShape => [45, 264];
        public override string? Note => "ids and order are read by every column's thread, from L1";

        protected override LabRun Try(CudaContext context, IReadOnlyList<int> shape, LabInputs inputs)
        {
            (int rows, int cols, int count) = (shape[0], shape[1], shape[0] * shape[1]);
            float[] dy = inputs.Values(count), start = inputs.Values(Vocabulary * cols);
            float[] replaced = [.. start];
            int[] ids = Ids(rows);
            using LabTensor dyOn = Tensor(inputs, dy);
            using LabTensor added = new(inputs, start, TableBf16), fresh = new(inputs, replaced, TableBf16);
            using DeviceBuffer<int> idsOn = context.Memory.Upload<int>(ids), order = inputs.Empty<int>(rows);
            Embedding.Order(context.Stream, new(idsOn.Pointer, order.Pointer, rows));
            var args = new Embedding.BackwardArgs(
                dyOn.Address, idsOn.Pointer, order.Pointer, fresh.Address, rows, cols, 0);
            Embedding.Backward(context.Stream, args, Bf16, TableBf16);
            Embedding.Backward(
                context.Stream, args with { Dtable = added.Address, Accumulate = 1 }, Bf16, TableBf16);
            var sums = new double[Vocabulary * cols];
            for (int i = 0; i < count; i++) sums[ids[i / cols] * cols + i % cols] += dy[i];
            double[] kept = [.. replaced.Select((v, i) => ids.Contains(i / cols) ? sums[i] : v)];
            double error = Distance(fresh.ToArray(), kept);
            for (int i = 0; i < sums.Length; i++) sums[i] += start[i];
            long touched = ids.Distinct().Count() * cols;
            return new LabRun(
                RowTeam.Shape(rows, cols, Bf16, 0), Math.Max(error, Distance(added.ToArray(), sums)), Tolerance,
                Size * count + 2 * (TableBf16 ? 2 : 4) * touched + 8L * rows, count);
        }
    }

    internal sealed class ForwardF32() : ForwardLab(tableBf16: false, bf16: false);
    internal sealed class ForwardBf16() : ForwardLab(tableBf16: true, bf16: true);
    internal sealed class RoundBf16() : ForwardLab(tableBf16: false, bf16: true);
    internal sealed class WidenF32() : ForwardLab(tableBf16: true, bf16: false);
    internal sealed class BackwardF32() : BackwardLab(tableBf16: false, bf16: false);
    internal sealed class BackwardBf16() : BackwardLab(tableBf16: true, bf16: true);
    internal sealed class MixedBf16() : BackwardLab(tableBf16: false, bf16: true);
}

internal sealed class EmbeddingOrderLab : KernelLab
{
    public override string Stem => "EmbeddingBackward";
    public override string Entry => "embedding_order_i32";
    public override string Summary => "rows by id, then by row: rows^2 comparisons";
    public override Type Args => typeof(Embedding.OrderArgs);
    public override IReadOnlyList<string> ShapeNames => ["rows"];
    public override IReadOnlyList<int> DefaultShape => [77];
    public override IReadOnlyList<int> BenchShape => [8192];
    public override string? Note => "every row is compared with every other: the ids come from L1";

    protected override LabRun Try(CudaContext context, IReadOnlyList<int> shape, LabInputs inputs)
    {
        int rows = shape[0];
        int[] ids = [.. Enumerable.Range(0, rows).Select(r => r * 31 % 11)];
        using DeviceBuffer<int> from = context.Memory.Upload<int>(ids), to = inputs.Empty<int>(rows);
        Embedding.Order(context.Stream, new(from.Pointer, to.Pointer, rows));
        double[] expected = [.. Enumerable.Range(0, rows).OrderBy(r => ids[r]).Select(r => (double)r)];
        float[] actual = [.. to.ToArray().Select(r => (float)r)];
        return new LabRun(Embedding.OrderShape(rows), Distance(actual, expected), 0, 8L * rows, 0);
    }
}
