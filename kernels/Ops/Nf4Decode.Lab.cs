using CudaLora.Kernels.Runtime;

namespace CudaLora.Kernels.Ops;

internal sealed class Nf4DecodeLab : KernelLab
{
    private const float Scale = 0.75f;

    public override string Stem => "Nf4Decode";
    public override string Entry => "nf4_decode_bf16";
    public override string? Note =>
        "scales and x are read again by the blocks that share them, from L2; odd widths go element by element";
    public override string Summary => "y = x W0^T + scale s B^T + bias for a few tokens, the codes of W0 read once";
    public override Type Args => typeof(Nf4Decode.Args);
    public override IReadOnlyList<string> ShapeNames => ["tokens", "in", "out", "ranks"];
    public override IReadOnlyList<int> DefaultShape => [9, 1184, 37, 5];
    public override IReadOnlyList<int> BenchShape => [1, 4096, 4096, 16];

    protected override LabRun Try(CudaContext context, IReadOnlyList<int> shape, LabInputs inputs)
    {
        (int tokens, int width, int outputs, int ranks) = (shape[0], shape[1], shape[2], shape[3]);
        if (tokens > Nf4Decode.MaxTokens)
            throw new ArgumentException($"[{Entry}] tokens must be at most {Nf4Decode.MaxTokens}, but got {tokens}");
        float[] x = inputs.Values(tokens * width);
        using var w = new LabCodes(inputs, inputs.Values(outputs * width), 6);
        float[] s = inputs.Values(tokens * ranks), b = inputs.Values(outputs * ranks), bias = inputs.Values(outputs);
        using LabTensor dx = new(inputs, x, bf16: true), y = new(inputs, tokens * outputs, bf16: true);
        using LabTensor ds = new(inputs, s, bf16: false), db = new(inputs, b, bf16: false);
        using LabTensor dbias = new(inputs, bias, bf16: false);
        Nf4Dequantize.Args codes = w.Args(0, width, width);
        Nf4Decode.Launch(
            context.Stream,
            new(
                codes.Codes, codes.Codebook, codes.AbsMax, codes.Codes8, codes.Groups, codes.Map, dx.Address,
                ds.Address, db.Address, dbias.Address, y.Address, tokens, width, outputs, ranks, width, outputs, Scale,
                codes.Offset, codes.BlockShift, codes.GroupShift));
        double[] expected = LoraDecodeUpLab.Product(x, w.Rounded(), tokens, outputs, width);
        double[] adapter = LoraDecodeUpLab.Product(s, b, tokens, outputs, ranks);
        for (int i = 0; i < expected.Length; i++) expected[i] += (Scale * adapter[i]) + bias[i % outputs];
        // W0 is rounded to bf16 in the oracle too; the result is rounded once.
        long bytes = w.Bytes + (2L * (x.Length + expected.Length)) + (4L * (s.Length + b.Length + outputs));
        return new LabRun(
            Nf4Decode.Shape(outputs), Distance(y.ToArray(), expected), 1.0 / 256, bytes,
            2.0 * tokens * outputs * (width + ranks));
    }
}
