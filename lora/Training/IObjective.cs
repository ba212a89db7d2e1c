using CudaLora.Engine;

namespace CudaLora.Lora;

/// <summary>
/// What training minimises: SFT, a reward model, DPO, ... The host part and the device part are apart, so that the
/// device part can be captured once and repeated on other values.
/// </summary>
public interface IObjective
{
    /// <summary>
    /// What a batch counts for in the mean over a step: its labelled tokens, unless the loss is a mean over something
    /// else.
    /// </summary>
    int Weight(Batch batch) => batch.LabelCount;

    /// <summary>Writes what the loss needs of a batch.</summary>
    /// <param name="batch">The batch.</param>
    /// <param name="scale">
    /// Factor on the sum over labelled tokens: 1 / (<see cref="Weight"/> of the whole step), so that micro-batches add
    /// up to the mean.
    /// </param>
    /// <param name="inputs">Where to; begun and committed by the caller.</param>
    void Prepare(Batch batch, float scale, InputSet inputs);

    /// <summary>The loss of prepared inputs: a scalar. Reads nothing back to the host.</summary>
    Tensor Loss(CausalLM model, InputSet inputs);
}

/// <summary>Both parts in one call.</summary>
public static class ObjectiveExtensions
{
    /// <summary>The loss of one batch, times <paramref name="scale"/>.</summary>
    public static Tensor Loss(
        this IObjective objective, CausalLM model, Batch batch, float scale, InputSet inputs)
    {
        inputs.Begin();
        objective.Prepare(batch, scale, inputs);
        inputs.Commit();
        var loss = objective.Loss(model, inputs);
        inputs.Used();
        return loss;
    }
}
