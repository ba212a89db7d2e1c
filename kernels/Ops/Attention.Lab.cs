using CudaLora.Kernels.Runtime;

namespace CudaLora.Kernels.Ops;

internal abstract class AttentionLab(string stem, string entry, bool bf16, bool masked) : KernelLab
{
    public override string Stem => stem;
    public override string Entry => entry;
    public override string? Note => "the other side is read again by every block of queries or keys, from L2";
    public override IReadOnlyList<string> ShapeNames =>
        ["batch", "queries", "keys", "queryHeads", "keyHeads", "size"];

    protected bool Bf16 => bf16;

    protected int ElementSize => bf16 ? 2 : 4;

    // f32: sums of a few hundred terms of size one, and exponentials to 2^-22. bf16: the probabilities and the result
    // are rounded to 8 bits, and errors of a gradient add up over a few terms.
    protected double Tolerance => bf16 ? 1.0 / 64 : 2e-5;

    protected override LabRun Try(CudaContext context, IReadOnlyList<int> shape, LabInputs inputs)
    {
        using var data = new AttentionLabData(shape, inputs, bf16, masked);
        return Pass(context, inputs, data);
    }

    protected abstract LabRun Pass(CudaContext context, LabInputs inputs, AttentionLabData data);

    /// <summary>As Distance, where minus infinity is no distance from itself.</summary>
    internal static double LseDistance(float[] actual, double[] expected)
    {
        for (int i = 0; i < actual.Length; i++)
            if (double.IsNegativeInfinity(expected[i]) && float.IsNegativeInfinity(actual[i]))
                (actual[i], expected[i]) = (0, 0);
        return Distance(actual, expected);
    }
}

internal abstract class AttentionForwardLab(string stem, string entry, bool bf16, bool masked)
    : AttentionLab(stem, entry, bf16, masked)
{
    public override Type Args => typeof(Attention.ForwardArgs);

    protected override LabRun Pass(CudaContext context, LabInputs inputs, AttentionLabData data)
    {
        using var y = new LabTensor(inputs, data.QueryCount, Bf16);
        using DeviceBuffer<float> lse = inputs.Empty<float>(data.Lse.Length);
        using DeviceBuffer<float> work = inputs.Empty<float>(Attention.WorkFloats(data.Problem) + 1);
        Attention.Forward(
            context.Stream, data.Problem, Bf16, data.DeviceQ.Address, data.DeviceK.Address, data.DeviceV.Address,
            y.Address, lse.Pointer.Address, work.Pointer.Address);
        double error = Math.Max(Distance(y.ToArray(), data.Y), LseDistance(lse.ToArray(), data.Lse));
        long bytes = ElementSize * (2L * data.QueryCount + 2L * data.KeyCount) + 4L * data.Lse.Length;
        return new LabRun(
            Attention.ForwardShape(data.Problem, Bf16), error, Tolerance, bytes,
            4.0 * data.Pairs * data.Problem.Size);
    }

    internal sealed class Single() : AttentionForwardLab("Attention", "attention_forward_f32", false, true)
    {
        public override string Summary => "y = softmax(s q kᵀ) v, window and segments, in f32";
        public override IReadOnlyList<int> DefaultShape => [2, 40, 70, 4, 2, 70];
    }

    internal sealed class Narrow() : AttentionForwardLab("AttentionBf16", "attention_forward_64_bf16", true, false)
    {
        public override string Summary => "y = softmax(s q kᵀ) v, causal, head sizes to 64, tensor cores (mma.sync)";
        public override IReadOnlyList<int> DefaultShape => [1, 150, 200, 2, 1, 40];
        public override IReadOnlyList<int> BenchShape => [2, 1024, 1024, 16, 4, 64];
    }

    internal sealed class Wide() : AttentionForwardLab("AttentionWideBf16", "attention_forward_128_bf16", true, false)
    {
        public override string Summary => "y = softmax(s q kᵀ) v, causal, head sizes to 256, tensor cores (mma.sync)";
        public override IReadOnlyList<int> DefaultShape => [2, 70, 200, 2, 1, 96];
        public override IReadOnlyList<int> BenchShape => [1, 1024, 1024, 16, 4, 128];
    }
}
