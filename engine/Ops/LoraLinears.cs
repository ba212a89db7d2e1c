using CudaLora.Kernels.Simd;

namespace CudaLora.Engine;

/// <summary>One of several LoRA layers on the same input.</summary>
/// <param name="Weight">W0 (out, in), or null when it is 4-bit.</param>
/// <param name="Quantized">W0 in 4 bits, or null.</param>
/// <param name="Bias">b (out), F32, or null.</param>
/// <param name="A">A (r, in), F32.</param>
/// <param name="B">B (out, r), F32.</param>
/// <param name="Scale">s = alpha / r, or alpha / √r.</param>
public readonly record struct LoraProjection(
    Tensor? Weight, QuantizedTensor? Quantized, Tensor? Bias, Tensor A, Tensor B, float Scale);

public static partial class TensorOps
{
    /// <summary>Layers that can share a pass over x: slots for the inputs of a node.</summary>
    public const int MaxSharedLora = 3;

    /// <summary>
    /// What <see cref="LoraLinear(Tensor, Tensor, Tensor?, Tensor, Tensor, float, DropoutMask)"/> gives for each of
    /// several layers without dropout on one x, as q, k and v, or gate and up. S = x Aᵀ of all is made in one pass over
    /// x, and so are the gradients of all A; the adapters' part of dX is one product. A and B stay separate tensors.
    /// </summary>
    /// <param name="x">Input (..., in), F32; on CUDA also BF16.</param>
    /// <param name="layers">Up to <see cref="MaxSharedLora"/>; ranks may differ.</param>
    /// <returns>(..., out) of each.</returns>
    public static Tensor[] LoraLinears(this Tensor x, params ReadOnlySpan<LoraProjection> layers)
    {
        if (layers.Length is < 1 or > MaxSharedLora)
            throw new ArgumentException(
                $"[lora_linears] 1 to {MaxSharedLora} layers expected, but got {layers.Length}");
        foreach (var layer in layers)
        {
            if (layer.Quantized is { } codes)
                QuantizedLinearOp.Check("lora_linears", x, codes, layer.Bias);
            else
                LinearOp.Check("lora_linears", x, layer.Weight!, layer.Bias);
            LoraLinearOp.CheckAdapter(layer.A, layer.B, layer.Quantized?.Shape ?? layer.Weight!.Shape);
        }
        var down = new LoraDownOp(x, layers);
        var s = down.Run(Shape.Of(x.Shape.Rows, down.Ranks));
        var results = new Tensor[layers.Length];
        for (var i = 0; i < layers.Length; i++)
        {
            var (weight, codes, bias, a, b, scale) = layers[i];
            var slot = down.SlotOf(i);
            var op = codes is null
                ? new LoraLinearOp(x, weight, bias, a, b, scale, default, down, s, slot)
                : new QuantizedLoraLinearOp(x, codes, bias, a, b, scale, default, down, s, slot);
            results[i] = op.Run(x.Shape.With(^1, b.Shape[0]));
        }
        return results;
    }
}

/// <summary>
/// S = x Aᵀ of several LoRA layers side by side, (M, ranks). Its backward comes after theirs: it has dS of all, which
/// they wrote side by side too, and finishes dX.
/// </summary>
internal sealed unsafe class LoraDownOp : Op
{
    private readonly Tensor x; // (M, in)
    private readonly LoraThinPass.Reduction[] slots; // A (r, in) of each layer
    private readonly bool trainsA;
    private readonly bool hasGaps; // in BF16, between the slots
    private readonly Waiting[] waiting; // layers whose part of dX is to be added
    private int waitingCount;
    private Tensor? s;
    private Storage? wide; // [x | S] in BF16, while the layers run forward
    private int readers;

    public LoraDownOp(Tensor x, ReadOnlySpan<LoraProjection> layers)
        : base("lora_down", x, layers[0].A, At(layers, 1), At(layers, 2))
    {
        this.x = x;
        slots = new LoraThinPass.Reduction[layers.Length];
        waiting = new Waiting[layers.Length];
        // Slots of BF16 begin at whole units of 16 bytes; the columns between them are zeros.
        for (var i = 0; i < layers.Length; i++)
        {
            var a = layers[i].A;
            var (rank, width) = (a.Shape[0], CudaProduct.Pitch(x.DType, a.Shape[0]));
            slots[i] = new(a, Ranks, rank, Transposed: false);
            Ranks += width;
            Outputs += layers[i].B.Shape[0];
            trainsA |= NeedsGrad(a);
            hasGaps |= rank < width;
            Save(a);
        }
        readers = layers.Length;
        if (trainsA)
            Save(x);
    }

    /// <summary>Columns of S.</summary>
    public int Ranks { get; }

    /// <summary>Outputs of all layers.</summary>
    public int Outputs { get; }

    /// <summary>First column of a layer in S.</summary>
    public int SlotOf(int layer) => slots[layer].First;

    /// <summary>dS of all layers, of which each writes its columns once.</summary>
    public static Tensor GradOfS(Tensor shared)
    {
        var g = GradOf(shared, out var begun);
        // What no gradient reaches stays zero.
        if (!begun)
            g.Clear();
        return g;
    }

    /// <summary>
    /// Leaves a layer's dY W0 to this node, so that the adapters' part is summed with one of them; W0 is null when it
    /// is 4-bit.
    /// </summary>
    public void AddLater(LoraLinearOp layer, Tensor? weight, Tensor dy)
    {
        // The layer's own node ends before.
        if (weight is not null)
            Save(weight);
        var kept = dy.UnscopedView(dy.Shape);
        Save(kept);
        kept.Dispose();
        waiting[waitingCount++] = new Waiting(layer, kept);
    }

    /// <summary>[x | S] with rows of <paramref name="pitch"/>, until the last layer has read it.</summary>
    public Storage Widened(int pitch) => wide ??= LoraLinearOp.Widened(x, pitch, s!.DeviceAddress, Ranks);

    /// <summary>A layer has run forward.</summary>
    public void ReadByOne()
    {
        if (--readers > 0)
            return;
        wide?.Release();
        (wide, s) = (null, null);
    }

    /// <summary>A of all layers in BF16, zeros between the slots.</summary>
    public void PackA(ulong to, int pitch)
    {
        if (hasGaps)
            x.Device.Clear((void*)to, (long)Ranks * pitch * sizeof(ushort));
        foreach (var (of, first, _, _) in slots)
            LoraLinearOp.PackA(of, to + (2 * (ulong)first * (ulong)pitch), pitch);
    }

    /// <summary>A of all layers in F32, zeros between the slots, in memory the caller releases.</summary>
    public Storage RentStacked()
    {
        var width = x.Shape[^1];
        var to = x.Device.Rent((long)Ranks * width * sizeof(float));
        if (hasGaps)
            x.Device.Clear(to.Pointer, (long)Ranks * width * sizeof(float));
        foreach (var (of, first, _, _) in slots)
            x.Device.Copy(of.Address, (float*)to.Pointer + ((long)first * width), of.ByteCount);
        return to;
    }

    protected override void ForwardCpu(Tensor y)
    {
        foreach (var (of, first, ranks, _) in slots)
        {
            Gemm.Run(
                false, true, y.Shape[0], ranks, of.Shape[1], 1, x.Pointer<float>(), of.Shape[1], of.Pointer<float>(),
                of.Shape[1], 0, y.Pointer<float>() + first, Ranks);
        }
    }

    // The layers have added dY W0 to dX.
    protected override void BackwardCpu(Tensor y, Tensor dy)
    {
        var (m, k) = (y.Shape[0], x.Shape[^1]);
        foreach (var (of, first, ranks, _) in slots)
        {
            var ds = dy.Pointer<float>() + first;
            if (NeedsGrad(of))
            {
                var g = GradOf(of, out var add); // dA = dSᵀ x
                Gemm.Run(
                    true, false, ranks, k, m, 1, ds, Ranks, x.Pointer<float>(), k, add ? 1 : 0, g.Pointer<float>(), k);
            }
            if (NeedsGrad(x))
            {
                var g = GradOf(x, out var add).Pointer<float>(); // dX += dS A
                Gemm.Run(false, false, m, k, ranks, 1, ds, Ranks, of.Pointer<float>(), k, add ? 1 : 0, g, k);
            }
        }
    }

    protected override void ForwardCuda(Tensor y)
    {
        s = y;
        if (y.Count == 0)
            return;
        var stacked = RentStacked();
        LoraThinPass.Run(
            x, Ranks, Ranks, default, 1, LoraThinPass.Factor.Rows(stacked.DeviceAddress, x.Shape[^1]), y.DeviceAddress,
            0);
        stacked.Release();
    }

    protected override void BackwardCuda(Tensor y, Tensor dy)
    {
        if (trainsA && dy.Count > 0)
            LoraThinPass.Run(x, Ranks, Ranks, default, 1, default, 0, dy.DeviceAddress, slots);
        if (waitingCount == 0)
            return;
        // The adapters' part is summed with the narrowest dY: that is the one the block matrix has to copy.
        var narrowest = 0;
        for (var i = 1; i < waitingCount; i++)
        {
            if (waiting[i].Dy.Shape[^1] < waiting[narrowest].Dy.Shape[^1])
                narrowest = i;
        }
        var g = GradOf(x, out var add);
        waiting[narrowest].Layer.InputGrad(waiting[narrowest].Dy, dy.DeviceAddress, g, add);
        for (var i = 0; i < waitingCount; i++)
        {
            if (i != narrowest)
                waiting[i].Layer.InputGradBase(waiting[i].Dy, g, true);
        }
    }

    private static Tensor? At(ReadOnlySpan<LoraProjection> layers, int i) => i < layers.Length ? layers[i].A : null;

    private readonly record struct Waiting(LoraLinearOp Layer, Tensor Dy);
}
