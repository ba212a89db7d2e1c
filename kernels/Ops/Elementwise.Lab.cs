using CudaLora.Kernels.Runtime;
using CudaLora.Kernels.Simd;

namespace CudaLora.Kernels.Ops;

/// <summary>A bias added to every row, the commonest broadcast; in bf16 the bias is f32.</summary>
internal abstract class ElementwiseLab(bool bf16) : KernelLab
{
    public override string Stem => bf16 ? "ElementwiseBf16" : "Elementwise";
    public override string Entry => bf16 ? "elementwise_bf16" : "elementwise_f32";
    public override string? Note => "the broadcast operand is read again by every row, from L1";
    public override string Summary => "y += a op b with broadcast; here a row of b added to each row of a";
    public override Type Args => typeof(Elementwise.Args);
    public override IReadOnlyList<string> ShapeNames => ["rows", "cols"];
    public override IReadOnlyList<int> DefaultShape => [9, 136];
    public override IReadOnlyList<int> BenchShape => [4096, 4096];

    protected override LabRun Try(CudaContext context, IReadOnlyList<int> shape, LabInputs inputs)
    {
        (int rows, int cols) = (shape[0], shape[1]);
        float[] a = inputs.Values(rows * cols), b = inputs.Values(cols), start = inputs.Values(rows * cols);
        using LabTensor left = new(inputs, a, bf16), right = new(inputs, b, bf16: false), y = new(inputs, start, bf16);
        Elementwise.Binary(
            context.Stream, ElementwiseOp.Sum, 1, BroadcastPlan.Create([rows, cols], [rows, cols], [cols]),
            new(left.Address, bf16), new(right.Address, false), new(y.Address, bf16), accumulate: true);
        var expected = new double[a.Length];
        for (int i = 0; i < a.Length; i++) expected[i] = start[i] + ((double)a[i] + b[i % cols]);
        bool vector = cols % Pointwise.PerVector(bf16) == 0;
        // Two roundings of f32, or half a unit of 8 bits.
        return new LabRun(
            Pointwise.Grid(a.Length / (vector ? Pointwise.PerVector(bf16) : 1)), Distance(y.ToArray(), expected),
            bf16 ? 1.0 / 250 : 2e-7, (bf16 ? 6L : 12L) * a.Length + 4L * cols, 2.0 * a.Length);
    }

    internal sealed class F32() : ElementwiseLab(bf16: false);
    internal sealed class Bf16() : ElementwiseLab(bf16: true);
}
