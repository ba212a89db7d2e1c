using CudaLora.Engine;

namespace CudaLora.Lora;

/// <summary>
/// A way to fine-tune a model: which parameters train, and how the result is saved. LoRA, prompts, full training.
/// </summary>
public interface IFineTuning
{
    /// <summary>Name of the method: <c>lora</c>, <c>full</c>.</summary>
    string Method { get; }

    /// <summary>The model that is trained.</summary>
    CausalLM Model { get; }

    /// <summary>Parameters that the method added to the model's own.</summary>
    long AddedParameters { get; }

    /// <summary>The trainable parameters in groups, with their rates and decays.</summary>
    IReadOnlyList<ParameterGroup> Groups(TrainingArguments arguments);

    /// <summary>Writes the result into a folder: an adapter folder, or a model folder.</summary>
    void Save(string folder);

    /// <summary>Puts back the values that <see cref="Save"/> wrote.</summary>
    void Restore(string folder);

    /// <summary>True when the result is a model folder of its own, not an adapter.</summary>
    bool SavesModel => false;

    /// <summary>
    /// True when something in the midst of a step happens on the host, so that the step cannot be captured as a graph.
    /// </summary>
    bool HasHostWork => false;

    /// <summary>
    /// Adds the gradient of a term of the method's own to those of the loss, once per step before they are clipped.
    /// </summary>
    /// <returns>The term's value; it counts as part of the training loss.</returns>
    double AddPenalty() => 0;

    /// <summary>Told of each update, while the gradients it was made of are still there.</summary>
    void Updated(in MethodStep step)
    {
    }

    /// <summary>What a checkpoint must hold beyond <see cref="Save"/>: read back after <see cref="Restore"/>.</summary>
    IEnumerable<(string Name, Tensor Value)> State() => [];

    /// <summary>Told when <see cref="State"/> has been filled from a checkpoint.</summary>
    void StateRead()
    {
    }
}

/// <summary>A finished optimiser step.</summary>
/// <param name="Step">Its number, 1 for the first.</param>
/// <param name="TotalSteps">Steps of the whole run.</param>
/// <param name="GradientScale">What clipping multiplied the gradients by; they themselves are as backward left
/// them.</param>
public readonly record struct MethodStep(int Step, int TotalSteps, double GradientScale);
