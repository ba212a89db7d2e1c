using CudaLora.Engine;

namespace CudaLora.Lora;

/// <summary>
/// The model as it was before training: while this is open the adapter is out of the forward pass, so no second copy
/// of the weights exists.
/// </summary>
internal readonly ref struct ReferencePolicy
{
    private readonly ModelAdapter? adapter;

    private ReferencePolicy(ModelAdapter? adapter) => this.adapter = adapter;

    /// <summary>Takes the active adapter out until disposed.</summary>
    public static ReferencePolicy Of(CausalLM model)
    {
        var active = model.ActiveAdapter ?? throw new InvalidOperationException(
            "[reference_policy] the model must have an adapter, whose absence is the reference, but has none: compute "
            + "reference log-probabilities before training");
        if (active is LoraAdapter { Config.IsPartOfBase: true })
            throw new InvalidOperationException(
                "[reference_policy] an adapter that took its values from the base (PiSSA, OLoRA) leaves no reference "
                + "behind: compute reference log-probabilities before training");
        active.Deactivate();
        return new ReferencePolicy(active);
    }

    /// <summary>Puts the adapter back.</summary>
    public void Dispose() => adapter?.Activate();
}
