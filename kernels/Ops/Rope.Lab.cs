using CudaLora.Kernels.Runtime;

namespace CudaLora.Kernels.Ops;

internal abstract class RopeLab(bool bf16) : KernelLab
{
    private const int Positions = 9;

    public override string Stem => bf16 ? "RopeBf16" : "Rope";
    public override string Entry => bf16 ? "rope_bf16" : "rope_f32";
    public override string Summary => "q and k turned by their positions' angles, in place; and back, adding";
    public override Type Args => typeof(Rope.Args);
    public override IReadOnlyList<string> ShapeNames => ["rows", "qHeads", "kHeads", "headDim"];
    public override IReadOnlyList<int> DefaultShape => [6, 5, 2, 48];
    public override IReadOnlyList<int> BenchShape => [8192, 32, 8, 128];
    public override string? Note => "a row's angles are read by every head, from L1";

    protected override LabRun Try(CudaContext context, IReadOnlyList<int> shape, LabInputs inputs)
    {
        (int rows, int heads, int few, int dim) = (shape[0], shape[1], shape[2], shape[3] & ~1);
        if (dim == 0) throw new ArgumentException($"[{Entry}] headDim must be at least 2, but got {shape[3]}");
        (int half, int qCount, int kCount) = (dim / 2, rows * heads * dim, rows * few * dim);
        float[] q = inputs.Values(qCount), k = inputs.Values(kCount), start = inputs.Values(qCount);
        double[] angles =
        [
            .. Enumerable.Range(0, Positions * half).Select(i => i / half * Math.Pow(100, -(double)(i % half) / half)),
        ];
        float[] cos = [.. angles.Select(a => (float)Math.Cos(a))], sin = [.. angles.Select(a => (float)Math.Sin(a))];
        int[] positions = [.. Enumerable.Range(0, rows).Select(r => r * 4 % Positions)];
        using LabTensor qOn = new(inputs, q, bf16), kOn = new(inputs, k, bf16), back = new(inputs, start, bf16),
            cosOn = new(inputs, cos, bf16: false), sinOn = new(inputs, sin, bf16: false);
        using DeviceBuffer<int> positionsOn = context.Memory.Upload<int>(positions);
        var args = new Rope.Args(
            qOn.Address, back.Address, 0, 0, cosOn.Single, sinOn.Single, positionsOn.Pointer, rows, heads, 0, dim, 1,
            1);
        Rope.Launch(context.Stream, args, bf16);
        args = args with { QOut = qOn.Address, K = kOn.Address, KOut = kOn.Address, KHeads = few };
        Rope.Launch(context.Stream, args with { Inverse = 0, Accumulate = 0 }, bf16);
        double[] inverse = Turned(q, heads, -1), qTurned = Turned(q, heads, 1), kTurned = Turned(k, few, 1);
        for (int i = 0; i < qCount; i++) inverse[i] += start[i];
        double error = Math.Max(
            Distance(back.ToArray(), inverse),
            Math.Max(Distance(qOn.ToArray(), qTurned), Distance(kOn.ToArray(), kTurned)));
        long bytes = (bf16 ? 2L : 4L) * 2 * (qCount + kCount) + 4L * rows * (1 + dim);
        return new LabRun(
            Rope.Shape(rows, heads + few, dim, bf16), error, bf16 ? 1.0 / 256 : 1e-6, bytes, 3.0 * (qCount + kCount));

        double[] Turned(float[] x, int perRow, int sign)
        {
            var y = new double[x.Length];
            for (int i = 0; i < x.Length; i++)
            {
                int j = i % dim, at = positions[i / (perRow * dim)] * half + j % half;
                double turned = j < half ? -(double)x[i + half] : x[i - half];
                y[i] = (double)x[i] * cos[at] + sign * turned * sin[at];
            }
            return y;
        }
    }

    internal sealed class F32() : RopeLab(bf16: false);
    internal sealed class Bf16() : RopeLab(bf16: true);
}
