using System.Runtime.InteropServices;
using CudaLora.Kernels.Driver;
using CudaLora.Kernels.Runtime;

namespace CudaLora.Kernels.Ops;

/// <summary>VectorAdd.ptx: c = a + b, all (n) f32. The smallest kernel there is, to begin with.</summary>
public static class VectorAdd
{
    private const int Block = 256;

    /// <summary>Parameters of vector_add_f32.</summary>
    [StructLayout(LayoutKind.Sequential, Pack = 4)]
    public readonly record struct Args(DevicePointer<float> A, DevicePointer<float> B, DevicePointer<float> C, int N);

    /// <summary>One thread per element.</summary>
    public static LaunchShape Shape(int n) => new((n + Block - 1) / Block, Block);

    /// <summary>Queues c = a + b.</summary>
    public static void Launch(CudaStream stream, in Args args) =>
        stream.Context.Modules.Kernel<Args>("VectorAdd", "vector_add_f32").Launch(stream, Shape(args.N), args);
}

internal sealed class VectorAddLab : KernelLab
{
    public override string Stem => "VectorAdd";
    public override string Entry => "vector_add_f32";
    public override string Summary => "c = a + b";
    public override Type Args => typeof(VectorAdd.Args);
    public override IReadOnlyList<string> ShapeNames => ["n"];
    public override IReadOnlyList<int> DefaultShape => [1000];

    protected override LabRun Try(CudaContext context, IReadOnlyList<int> shape, LabInputs inputs)
    {
        int n = shape[0];
        float[] a = inputs.Values(n), b = inputs.Values(n);
        using DeviceBuffer<float> da = inputs.Device(a), db = inputs.Device(b), dc = inputs.Empty<float>(n);
        VectorAdd.Launch(context.Stream, new(da.Pointer, db.Pointer, dc.Pointer, n));
        double[] expected = [.. a.Zip(b, (x, y) => (double)(x + y))];
        // One rounded addition: exact.
        return new LabRun(VectorAdd.Shape(n), Distance(dc.ToArray(), expected), 0, 12L * n, n);
    }
}
