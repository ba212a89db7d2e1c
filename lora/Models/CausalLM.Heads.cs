using CudaLora.Engine;

namespace CudaLora.Lora;

// Heads beside the output layer: one value of a text, for reward models.
public sealed partial class CausalLM
{
    private static ParameterPath ScorePath => new("score");

    /// <summary>
    /// The head of a sequence classifier with one label (1, C), without bias, as Hugging Face names it; null until
    /// <see cref="AddScore"/>.
    /// </summary>
    public Linear? Score { get; private set; }

    /// <summary>Adds <see cref="Score"/>, from a source or, if null, with the model's initializer range.</summary>
    /// <param name="source">Where the weight comes from.</param>
    /// <param name="random">Generator of a new weight; seed 0 if null.</param>
    public Linear AddScore(ParameterSource? source = null, Generator? random = null) =>
        Score ??= Child(new Linear(
            ScorePath, Config.HiddenSize, 1, false,
            Placement.Place(source ?? new RandomParameters(random ?? new Generator(0))),
            (float)Config.InitializerRange));
}
