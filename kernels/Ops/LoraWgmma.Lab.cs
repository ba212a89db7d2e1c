using CudaLora.Kernels.Runtime;

namespace CudaLora.Kernels.Ops;

/// <summary>Both directions.</summary>
internal abstract class LoraWgmmaLab(bool backward) : KernelLab
{
    public override string Stem => backward ? "LoraWgmmaBackward" : "LoraWgmma";
    public override string Entry => backward ? "lora_wgmma_backward" : "lora_wgmma_forward";
    public override Type Args => typeof(LoraWgmma.Args);
    public override IReadOnlyList<string> ShapeNames => ["m", "n", "k", "r"];
    public override IReadOnlyList<int> DefaultShape => [200, 264, 328, 20];
    public override IReadOnlyList<int> BenchShape => [8192, 4096, 4096, 16];
    public override int Capability => 90;

    protected override LabRun Try(CudaContext context, IReadOnlyList<int> shape, LabInputs inputs)
    {
        (int m, int n, int k, int r) = (shape[0], shape[1], shape[2], shape[3]);
        if (n % 8 != 0 || k % 8 != 0)
            throw new ArgumentException($"[{Entry}] n and k must be multiples of 8, but got n {n}, k {k}");
        // S and dS have rows of whole units of 16 bytes.
        int pitch = (r + 7) / 8 * 8;
        float[] a = inputs.Values(m * k), b = inputs.Values(n * k);
        float[] a2 = inputs.Values(m * pitch), b2 = inputs.Values(n * pitch);
        using DeviceBuffer<ushort> da = inputs.DeviceBf16(a), db = inputs.DeviceBf16(b);
        using DeviceBuffer<ushort> da2 = inputs.DeviceBf16(a2), db2 = inputs.DeviceBf16(b2);
        using DeviceBuffer<ushort> dc = inputs.Empty<ushort>(m * n);
        (ulong left, ulong right, ulong to) = (da.Pointer.Address, db.Pointer.Address, dc.Pointer.Address);
        (ulong left2, ulong right2) = (da2.Pointer.Address, db2.Pointer.Address);
        LoraWgmma.Args args = backward
            ? LoraWgmma.Backward(context, left, right, to, left2, right2, m, n, k, r, k, n, n, pitch, n)
            : LoraWgmma.Forward(context, left, right, to, left2, right2, m, n, k, r, k, k, n, pitch, pitch);
        // Small results by one cluster, which then walks over all tiles.
        int blocks = (long)m * n <= 1 << 20 ? 2 : context.Properties.Multiprocessors;
        LoraWgmma.Launch(context.Stream, backward, args, blocks);
        int[] rows = LabRows.Of(m, (double)n * k);
        var expected = new double[rows.Length * n];
        for (int e = 0; e < expected.Length; e++)
        {
            (int i, int j) = (rows[e / n], e % n);
            double sum = 0;
            for (int l = 0; l < k; l++) sum += (double)a[i * k + l] * b[backward ? l * n + j : j * k + l];
            for (int l = 0; l < r; l++) sum += (double)a2[i * pitch + l] * b2[backward ? l * n + j : j * pitch + l];
            expected[e] = sum;
        }
        // The result is rounded to bf16: half of 2^-8 of its size.
        return new LabRun(
            LoraWgmma.Shape(m, n, blocks), Distance(LabRows.Pick(LabInputs.Widen(dc), n, rows), expected), 1.0 / 256,
            2L * ((long)(m + n) * (k + r) + (long)m * n), 2.0 * m * n * (k + r));
    }
}

internal sealed class LoraWgmmaForwardLab() : LoraWgmmaLab(backward: false)
{
    public override string Summary => "y = x W0^T + S (s B)^T, wgmma fed by multicast TMA, persistent";
}

internal sealed class LoraWgmmaBackwardLab() : LoraWgmmaLab(backward: true)
{
    public override string Summary => "dX = dY W0 + dS A, wgmma fed by multicast TMA, persistent";
}
