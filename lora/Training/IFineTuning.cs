using CudaLora.Engine;

namespace CudaLora.Lora;

/// <summary>
/// A way to fine-tune a model: which parameters train, and how the result is saved. LoRA, full training, ...
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
}
