using CudaLora.Kernels.Runtime;
using CudaLora.Kernels.Simd;

namespace CudaLora.Kernels.Ops;

internal abstract unsafe class DropoutLab(bool bf16) : KernelLab
{
    private const float Probability = 0.25f;
    private const ulong Seed = 0x123456789ABCDEF0, Number = 5;

    public override string Stem => "Dropout";
    public override string Entry => bf16 ? "dropout_bf16" : "dropout_f32";
    public override string? Note => "every thread reads the 8 bytes of the stream number: one sector a warp";
    public override string Summary => "y = x / (1 - p) where the Philox word says keep, else 0";
    public override Type Args => typeof(Dropout.Args);
    public override IReadOnlyList<string> ShapeNames => ["n"];
    public override IReadOnlyList<int> DefaultShape => [1003];
    public override IReadOnlyList<int> BenchShape => [1 << 24];

    protected override LabRun Try(CudaContext context, IReadOnlyList<int> shape, LabInputs inputs)
    {
        int n = shape[0];
        float[] x = inputs.Values(n);
        using LabTensor from = new(inputs, x, bf16), to = new(inputs, n, bf16);
        // The stream's number is one more than what is passed.
        using DeviceBuffer<ulong> number = context.Memory.Upload<ulong>([1]);
        Dropout.Apply(
            context.Stream, from.Address, to.Address, n, Probability, Seed, Number - 1, number.Pointer.Address,
            accumulate: false, bf16);
        var expected = new double[n];
        uint* words = stackalloc uint[4];
        for (int i = 0; i < n; i++)
        {
            if (i % 4 == 0) Philox.Block((ulong)i / 4, Number, Seed, words);
            expected[i] = words[i % 4] >= Probability * 4294967296.0 ? x[i] / (1 - (double)Probability) : 0;
        }
        return new LabRun(
            Pointwise.Of(n, Pointwise.PerVector(bf16), 0).Shape, Distance(to.ToArray(), expected),
            bf16 ? 1.0 / 250 : 1e-6, 2L * n * (bf16 ? 2 : 4) + 8, n);
    }

    internal sealed class F32() : DropoutLab(bf16: false);
    internal sealed class Bf16() : DropoutLab(bf16: true);
}
