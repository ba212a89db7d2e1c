using CudaLora.Engine;

namespace CudaLora.Lora;

/// <summary>What training minimises, given a model and a batch.</summary>
public interface IObjective
{
    /// <summary>
    /// Sum of the batch's losses times <paramref name="scale"/>, a scalar. The trainer passes one over the number of
    /// labelled tokens of the whole step, so that accumulated micro-batches give the mean of the large batch.
    /// </summary>
    Tensor Loss(CausalLM model, Batch batch, float scale);
}
