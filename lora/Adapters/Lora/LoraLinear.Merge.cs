using CudaLora.Engine;
using CudaLora.Kernels.Simd;

namespace CudaLora.Lora;

// Into the layer's own weights, and out again.
public sealed partial class LoraLinear
{
    private bool wasQuantized;

    // A weight from before the merge where subtraction would not bring it back: 16 bits, which round, and DoRA's
    // rescaling.
    private Tensor? original;
    private Tensor? originalBias;

    /// <summary>
    /// Adds s B A to the layer's weights: the adapter then costs nothing. 4-bit weights are put in floats for it.
    /// </summary>
    /// <exception cref="UserErrorException">B has a bias, but the layer has none.</exception>
    public void Merge()
    {
        if (IsMerged)
            return;
        if (BiasOnB is not null && Linear.Bias is null)
            throw new UserErrorException(
                $"{Linear.Path}: an adapter with lora_bias cannot be merged into a layer without bias");
        IsMerged = true;
        if (Linear.Quantized is not null)
        {
            Linear.Dequantize();
            wasQuantized = true;
        }
        else if (Linear.Weight.Value.DType != DType.F32 || Dora is not null)
        {
            original = FullLayer.Copy(Linear.Weight.Value);
        }
        AddToWeight(1);
        if (BiasOnB is null)
            return;
        originalBias = FullLayer.Copy(Linear.Bias!.Value);
        using var scope = TensorScope.Begin();
        using var noGrad = GradMode.NoGrad();
        Linear.Bias.Value.CopyFrom(Linear.Bias.Value.Add(BiasOnB.Value.Scale(Scale)));
    }

    /// <summary>Takes s B A out of the layer's weights again; they return to within F32 rounding, 16-bit
    /// and 4-bit ones exactly.</summary>
    public void Unmerge()
    {
        if (!IsMerged)
            return;
        IsMerged = false;
        if (originalBias is not null)
            Linear.Bias!.Value.CopyFrom(originalBias);
        if (wasQuantized)
            Linear.RestoreQuantized();
        else if (original is not null)
            Linear.Weight.Value.CopyFrom(original);
        else
            AddToWeight(-1);
        wasQuantized = false;
        ReleaseOriginal();
    }

    private void ReleaseOriginal()
    {
        original?.Dispose();
        originalBias?.Dispose();
        (original, originalBias) = (null, null);
    }

    private void AddToWeight(float sign)
    {
        var weight = Linear.Weight.Value;
        var norms = Dora?.Norms();
        var w = weight.OnHost();
        AddProduct(w, sign * Scale, A.Value, B.Value);
        if (start is not null)
            AddProduct(w, -sign * Scale, start.A, start.B);
        Dora?.ScaleRows(w, norms!);
        if (w == weight)
            return;
        weight.Put(w);
        w.Dispose();
    }

    // w += scale B A.
    private static unsafe void AddProduct(Tensor w, float scale, Tensor a, Tensor b)
    {
        using var scope = TensorScope.Begin();
        Tensor left = b.To(Device.Cpu), right = a.To(Device.Cpu);
        var (n, k, r) = (w.Shape[0], w.Shape[1], right.Shape[0]);
        Gemm.Run(
            false, false, n, k, r, scale, left.Pointer<float>(), r, right.Pointer<float>(), k, 1, w.Pointer<float>(),
            k);
    }
}
