using System.Runtime.InteropServices;
using CudaLora.Kernels.Driver;
using CudaLora.Kernels.Runtime;

namespace CudaLora.Kernels.Ops;

/// <summary>
/// Transpose.ptx: out (cols, rows) from in (rows, cols), f32; a pair that shows what bank conflicts cost.
/// </summary>
public static class Transpose
{
    /// <summary>Parameters of both entries.</summary>
    [StructLayout(LayoutKind.Sequential, Pack = 4)]
    public readonly record struct Args(DevicePointer<float> In, DevicePointer<float> Out, int Rows, int Cols);

    /// <summary>A block per 32 x 32 tile.</summary>
    public static LaunchShape Shape(int rows, int cols) =>
        new(new Dim3((uint)(cols + 31) / 32, (uint)(rows + 31) / 32), new Dim3(32, 8));

    /// <summary>Queues a transposition; <paramref name="padded"/> chooses the entry without bank conflicts.</summary>
    public static void Launch(CudaStream stream, in Args args, bool padded = true) =>
        stream.Context.Modules.Kernel<Args>("Transpose", padded ? "transpose_padded_f32" : "transpose_conflicts_f32")
            .Launch(stream, Shape(args.Rows, args.Cols), args);
}

internal abstract class TransposeLab(bool padded) : KernelLab
{
    public override string Stem => "Transpose";
    public override string Entry => padded ? "transpose_padded_f32" : "transpose_conflicts_f32";
    public override string? Note => "the twin without padding has its bank conflicts on purpose";
    public override Type Args => typeof(Transpose.Args);
    public override IReadOnlyList<string> ShapeNames => ["rows", "cols"];
    public override IReadOnlyList<int> DefaultShape => [67, 100];

    protected override LabRun Try(CudaContext context, IReadOnlyList<int> shape, LabInputs inputs)
    {
        (int rows, int cols) = (shape[0], shape[1]);
        float[] x = inputs.Values(rows * cols);
        using DeviceBuffer<float> from = inputs.Device(x), to = inputs.Empty<float>(x.Length);
        Transpose.Launch(context.Stream, new(from.Pointer, to.Pointer, rows, cols), padded);
        var expected = new double[x.Length];
        for (int r = 0; r < rows; r++)
        {
            for (int c = 0; c < cols; c++) expected[c * rows + r] = x[r * cols + c];
        }
        return new LabRun(Transpose.Shape(rows, cols), Distance(to.ToArray(), expected), 0, 8L * x.Length, 0);
    }
}

internal sealed class TransposePaddedLab() : TransposeLab(padded: true)
{
    public override string Summary => "transpose through a padded tile: no bank conflicts";
}

internal sealed class TransposeConflictsLab() : TransposeLab(padded: false)
{
    public override string Summary => "transpose through a 32-wide tile: 32-way bank conflicts";
}
