using CudaLora.Kernels.Driver;
using CudaLora.Kernels.Runtime;

namespace CudaLora.Kernels.Ops;

/// <summary>A batch of transposes, accumulating.</summary>
internal abstract class PermuteLab(bool bf16) : KernelLab
{
    public override string Stem => bf16 ? "PermuteBf16" : "Permute";
    public override string Entry => bf16 ? "permute_bf16" : "permute_f32";
    public override string Summary => "y += x with axes in another order; here a batch of transposes";
    public override Type Args => typeof(Permute.Args);
    public override IReadOnlyList<string> ShapeNames => ["batch", "rows", "cols"];
    public override IReadOnlyList<int> DefaultShape => [2, 70, 134];
    public override IReadOnlyList<int> BenchShape => [4, 2048, 2048];

    protected override LabRun Try(CudaContext context, IReadOnlyList<int> shape, LabInputs inputs)
    {
        (int batch, int rows, int cols) = (shape[0], shape[1], shape[2]);
        int n = batch * rows * cols, tile = bf16 ? 64 : 32;
        float[] x = inputs.Values(n), start = inputs.Values(n);
        using LabTensor from = new(inputs, x, bf16), to = new(inputs, start, bf16);
        Permute.Run(context.Stream, from.Address, [batch, rows, cols], [0, 2, 1], to.Address, accumulate: true, bf16);
        var expected = new double[n];
        for (int i = 0; i < n; i++)
        {
            int b = i / (rows * cols), r = i / cols % rows, c = i % cols, at = (b * cols + c) * rows + r;
            expected[at] = (double)start[at] + x[i];
        }
        int tiles = (rows + tile - 1) / tile * ((cols + tile - 1) / tile);
        // One rounding of f32, or half a unit of 8 bits.
        return new LabRun(
            new(batch * tiles, new Dim3(32, 8)), Distance(to.ToArray(), expected), bf16 ? 1.0 / 250 : 1e-7,
            (bf16 ? 6L : 12L) * n, n);
    }

    internal sealed class F32() : PermuteLab(bf16: false);
    internal sealed class Bf16() : PermuteLab(bf16: true);
}
