using CudaLora.Engine;

namespace CudaLora.Lora;

/// <summary>
/// Biases of the base that an adapter trains (PEFT's <c>bias</c>). They train in place; the values not in use, the
/// base's or the adapter's, are kept aside, so that switching the adapter off brings the base back bit for bit.
/// </summary>
internal sealed class AdapterBiases(IEnumerable<Parameter> biases) : IDisposable
{
    private readonly (Parameter Bias, Tensor Aside)[] slots =
        [.. biases.Select(bias => (bias, FullLayer.Copy(bias.Value)))];

    private bool inUse;

    public IEnumerable<Parameter> Parameters => slots.Select(slot => slot.Bias);

    /// <summary>The adapter's values, wherever they are now.</summary>
    public IEnumerable<(Parameter Bias, Tensor Trained)> Values =>
        slots.Select(slot => (slot.Bias, inUse ? slot.Bias.Value : slot.Aside));

    /// <summary>Puts the adapter's values into the base, or the base's own back.</summary>
    public void Use(bool wanted)
    {
        if (inUse == wanted)
            return;
        inUse = wanted;
        foreach (var (bias, aside) in slots)
        {
            using var former = FullLayer.Copy(bias.Value);
            bias.Value.CopyFrom(aside);
            aside.CopyFrom(former);
        }
    }

    public void Dispose()
    {
        foreach (var (_, aside) in slots)
            aside.Dispose();
    }
}
