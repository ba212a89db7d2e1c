using CudaLora.Engine;
using CudaLora.Lora;

namespace CudaLora.Tests.Lora;

/// <summary>Models of a few thousand random weights: hidden 8, two layers, vocabulary 20.</summary>
internal static class TinyModel
{
    public static CausalLM Create(
        ModelFamily family = ModelFamily.Llama, ulong seed = 1, int hidden = 8, bool tied = false,
        ModelPlacement? placement = null) =>
        CausalLM.Create(Config(family, hidden, tied), seed, placement);

    /// <summary>Logits of a fixed text, as bits can be compared.</summary>
    public static float[] Logits(CausalLM model)
    {
        using var scope = TensorScope.Begin();
        using var noGrad = GradMode.NoGrad();
        return model.Forward(Tensor.From([3, 1, 4, 1, 5, 9, 2, 6], Shape.Of(1, 8))).ToArray();
    }

    /// <summary>Makes every trainable value of the adapter a draw of its own, as training would.</summary>
    public static void Train(LoraAdapter adapter, ulong seed)
    {
        var random = new Generator(seed);
        foreach (var parameter in adapter.TrainableParameters())
            RandomParameters.Fill(parameter.Value, Initializer.Normal(0.3f), random);
    }

    private static ModelConfig Config(ModelFamily family, int hidden, bool tied)
    {
        var gpt2 = family == ModelFamily.Gpt2;
        return new ModelConfig
        {
            Family = family,
            VocabSize = 20,
            HiddenSize = hidden,
            IntermediateSize = 12,
            Layers = 2,
            Heads = 2,
            KeyValueHeads = gpt2 ? 2 : 1,
            HeadDim = hidden / 2,
            MaxPositions = 16,
            TieWordEmbeddings = gpt2 || tied,
            QkvBias = family is ModelFamily.Qwen2 or ModelFamily.Gpt2,
            AttentionOutputBias = gpt2,
            MlpBias = gpt2,
            Activation = gpt2 ? Activation.GeluTanh : Activation.Silu,
            InitializerRange = 0.3,
        };
    }
}
