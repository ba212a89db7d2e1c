using CudaLora.Kernels.Runtime;

namespace CudaLora.Kernels.Ops;

internal sealed class LoraPackLab : KernelLab
{
    private const float Scale = 2;
    private const int Slot = 2;

    public override string Stem => "LoraPack";
    public override string Entry => "lora_pack_bf16";
    public override string Summary => "A and scale B as bf16 into the pads around W0";
    public override Type Args => typeof(LoraPack.PackArgs);
    public override IReadOnlyList<string> ShapeNames => ["in", "out", "ranks"];
    public override IReadOnlyList<int> DefaultShape => [75, 41, 7];
    public override IReadOnlyList<int> BenchShape => [4096, 4096, 16];

    protected override LabRun Try(CudaContext context, IReadOnlyList<int> shape, LabInputs inputs)
    {
        (int width, int outputs, int ranks) = (shape[0], shape[1], shape[2]);
        float[] a = inputs.Values(ranks * width), b = inputs.Values(outputs * ranks);
        using DeviceBuffer<float> da = inputs.Device(a), db = inputs.Device(b);
        using DeviceBuffer<ushort> toA = inputs.DeviceBf16(new float[ranks * (width + 3)]);
        using DeviceBuffer<ushort> toB = inputs.DeviceBf16(new float[outputs * (ranks + Slot + 5)]);
        LoraPack.Pack(
            context.Stream,
            new(
                da.Pointer.Address, db.Pointer.Address, toA.Pointer.Address, toB.Pointer.Address, width, outputs, ranks,
                width + 3, ranks + Slot + 5, Slot, ranks + Slot, Scale));
        double error = Math.Max(
            Distance(LabInputs.Widen(toA), Spread(a, width, 3, 1)),
            Distance(LabInputs.Widen(toB), Spread(b, ranks, Slot + 5, Scale, Slot)));
        // Rounded to bf16.
        return new LabRun(
            LoraPack.PackShape(width, outputs, ranks, ranks + Slot), error, 1.0 / 256,
            6L * (a.Length + b.Length) + 2L * outputs * Slot, b.Length);
    }

    /// <summary>Rows with zeros around them, <paramref name="first"/> of the gap in front.</summary>
    internal static double[] Spread(float[] values, int cols, int gap, double scale, int first = 0)
    {
        var spread = new double[values.Length / cols * (cols + gap)];
        for (int i = 0; i < values.Length; i++) spread[i / cols * (cols + gap) + first + i % cols] = scale * values[i];
        return spread;
    }
}

internal sealed class LoraPadLab : KernelLab
{
    public override string Stem => "LoraPack";
    public override string Entry => "lora_pad_bf16";
    public override string Summary => "a bf16 matrix into a buffer with 64 more columns";
    public override Type Args => typeof(LoraPack.PadArgs);
    public override IReadOnlyList<string> ShapeNames => ["rows", "cols"];
    public override IReadOnlyList<int> DefaultShape => [4, 2312];
    public override IReadOnlyList<int> BenchShape => [4096, 4096];

    protected override LabRun Try(CudaContext context, IReadOnlyList<int> shape, LabInputs inputs)
    {
        (int rows, int cols) = (shape[0], shape[1]);
        float[] values = inputs.Values(rows * cols);
        using DeviceBuffer<ushort> from = inputs.DeviceBf16(values);
        using DeviceBuffer<ushort> to = inputs.DeviceBf16(new float[rows * (cols + 64)]);
        LoraPack.Pad(context.Stream, rows, new(from.Pointer.Address, to.Pointer.Address, cols, cols, cols + 64));
        return new LabRun(
            LoraPack.PadShape(rows, cols),
            Distance(LabInputs.Widen(to), LoraPackLab.Spread(values, cols, 64, 1)), 0, 4L * values.Length, 0);
    }
}
