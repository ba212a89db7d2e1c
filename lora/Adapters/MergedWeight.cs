using CudaLora.Engine;

namespace CudaLora.Lora;

/// <summary>
/// A linear layer whose weight has been replaced for the time an adapter is merged. The former one, 4-bit codes or
/// floats, is kept and comes back bit for bit.
/// </summary>
internal sealed class MergedWeight : IDisposable
{
    private readonly Linear linear;
    private readonly Tensor? weight; // null when it is 4-bit
    private readonly Tensor? bias;

    /// <summary>Lets <paramref name="change"/> edit the weight (out, in) and the bias, floats on the CPU.</summary>
    public MergedWeight(Linear linear, Action<Tensor, Tensor?> change)
    {
        this.linear = linear;
        if (linear.Quantized is not null)
            linear.Dequantize();
        else
            weight = FullLayer.Copy(linear.Weight.Value);
        bias = linear.Bias is { } own ? FullLayer.Copy(own.Value) : null;
        using var scope = TensorScope.Begin();
        using var noGrad = GradMode.NoGrad();
        var (changed, changedBias) = (LoraInitializers.BaseWeight(linear), bias is null
            ? null
            : Tensor.From(bias.ToArray(), bias.Shape, Device.Cpu));
        change(changed, changedBias);
        linear.Weight.Value.Put(changed);
        if (changedBias is not null)
            linear.Bias!.Value.Put(changedBias);
    }

    /// <summary>Puts the former weight back.</summary>
    public void Undo()
    {
        if (weight is null)
            linear.RestoreQuantized();
        else
            linear.Weight.Value.CopyFrom(weight);
        if (bias is not null)
            linear.Bias!.Value.CopyFrom(bias);
        Dispose();
    }

    /// <summary>Forgets the former weight.</summary>
    public void Dispose()
    {
        weight?.Dispose();
        bias?.Dispose();
    }
}
