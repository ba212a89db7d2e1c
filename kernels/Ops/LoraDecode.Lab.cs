using CudaLora.Kernels.Runtime;

namespace CudaLora.Kernels.Ops;

internal sealed class LoraDecodeDownLab : KernelLab
{
    public override string Stem => "LoraDecode";
    public override string Entry => "lora_decode_down_bf16";
    public override string Summary => "s = x A^T for a few tokens";
    public override Type Args => typeof(LoraDecode.DownArgs);
    public override IReadOnlyList<string> ShapeNames => ["tokens", "in", "ranks"];
    public override IReadOnlyList<int> DefaultShape => [3, 1104, 5];
    public override IReadOnlyList<int> BenchShape => [1, 4096, 16];

    protected override LabRun Try(CudaContext context, IReadOnlyList<int> shape, LabInputs inputs)
    {
        (int tokens, int width, int ranks) = (shape[0], shape[1], shape[2]);
        float[] x = inputs.Values(tokens * width), a = inputs.Values(ranks * width);
        using LabTensor dx = new(inputs, x, bf16: true), da = new(inputs, a, bf16: false);
        using DeviceBuffer<float> s = inputs.Empty<float>(tokens * ranks);
        LoraDecode.Down(
            context.Stream, tokens, new(dx.Address, da.Address, s.Pointer.Address, width, width, ranks));
        double[] expected = LoraDecodeUpLab.Product(x, a, tokens, ranks, width);
        return new LabRun(
            LoraDecode.DownShape(tokens, ranks), Distance(s.ToArray(), expected), 1e-5,
            2L * x.Length + 4L * (a.Length + expected.Length), 2.0 * tokens * width * ranks);
    }
}

internal sealed class LoraDecodeUpLab : KernelLab
{
    private const float Scale = 0.75f;

    public override string Stem => "LoraDecode";
    public override string Entry => "lora_decode_up_bf16";
    public override string Summary => "y = x W0^T + scale s B^T + bias for a few tokens, W0 read once";
    public override Type Args => typeof(LoraDecode.UpArgs);
    public override IReadOnlyList<string> ShapeNames => ["tokens", "in", "out", "ranks"];
    public override IReadOnlyList<int> DefaultShape => [9, 1144, 37, 5];
    public override IReadOnlyList<int> BenchShape => [1, 4096, 4096, 16];

    protected override LabRun Try(CudaContext context, IReadOnlyList<int> shape, LabInputs inputs)
    {
        (int tokens, int width, int outputs, int ranks) = (shape[0], shape[1], shape[2], shape[3]);
        if (tokens > LoraDecode.MaxTokens)
            throw new ArgumentException($"[{Entry}] tokens must be at most {LoraDecode.MaxTokens}, but got {tokens}");
        float[] x = inputs.Values(tokens * width), w = inputs.Values(outputs * width);
        float[] s = inputs.Values(tokens * ranks), b = inputs.Values(outputs * ranks), bias = inputs.Values(outputs);
        using LabTensor dx = new(inputs, x, bf16: true), dw = new(inputs, w, bf16: true);
        using LabTensor ds = new(inputs, s, bf16: false), db = new(inputs, b, bf16: false);
        using LabTensor dbias = new(inputs, bias, bf16: false), y = new(inputs, tokens * outputs, bf16: true);
        LoraDecode.Up(
            context.Stream,
            new(
                dx.Address, dw.Address, ds.Address, db.Address, dbias.Address, y.Address, tokens, width, outputs, ranks,
                width, width, outputs, Scale));
        double[] expected = Product(x, w, tokens, outputs, width), adapter = Product(s, b, tokens, outputs, ranks);
        for (int i = 0; i < expected.Length; i++) expected[i] += Scale * adapter[i] + bias[i % outputs];
        // Rounded once to bf16.
        long bytes = 2L * (x.Length + w.Length + expected.Length) + 4L * (s.Length + b.Length + outputs);
        return new LabRun(
            LoraDecode.UpShape(outputs), Distance(y.ToArray(), expected), 1.0 / 256, bytes,
            2.0 * tokens * outputs * (width + ranks));
    }

    /// <summary>x (rows, k) times w (cols, k) transposed.</summary>
    internal static double[] Product(float[] x, float[] w, int rows, int cols, int k)
    {
        var result = new double[rows * cols];
        for (int i = 0; i < result.Length; i++)
        {
            for (int l = 0; l < k; l++) result[i] += (double)x[i / cols * k + l] * w[i % cols * k + l];
        }
        return result;
    }
}
