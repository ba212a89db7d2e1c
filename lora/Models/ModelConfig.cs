using System.Text.Json.Nodes;
using CudaLora.Engine;

namespace CudaLora.Lora;

/// <summary>
/// What config.json of a Hugging Face model folder says about the mathematics of the model. Fields that are not read
/// are kept and written back. Dropout inside the base model (<c>attention_dropout</c>, GPT-2's <c>*_pdrop</c>) is not
/// applied.
/// </summary>
public sealed record ModelConfig
{
    /// <summary>The <c>model_type</c>.</summary>
    public required ModelFamily Family { get; init; }

    /// <summary>Rows of the embedding (V).</summary>
    public required int VocabSize { get; init; }

    /// <summary>Width of the residual stream (C).</summary>
    public required int HiddenSize { get; init; }

    /// <summary>Width of the MLP.</summary>
    public required int IntermediateSize { get; init; }

    /// <summary>Number of transformer blocks.</summary>
    public required int Layers { get; init; }

    /// <summary>Query heads.</summary>
    public required int Heads { get; init; }

    /// <summary>Key and value heads; divides <see cref="Heads"/>.</summary>
    public required int KeyValueHeads { get; init; }

    /// <summary>Width of a head; need not be <see cref="HiddenSize"/> / <see cref="Heads"/>.</summary>
    public required int HeadDim { get; init; }

    /// <summary>Longest sequence; for GPT-2 the rows of the position embedding.</summary>
    public required int MaxPositions { get; init; }

    /// <summary>Epsilon of RMSNorm or LayerNorm.</summary>
    public double NormEps { get; init; } = 1e-6;

    /// <summary>Base of the rotary frequencies; not used by GPT-2.</summary>
    public double RopeTheta { get; init; } = 10000;

    /// <summary>Scaling of the rotary frequencies, or null.</summary>
    public RopeScaling? RopeScaling { get; init; }

    /// <summary>True if the output projection is the embedding.</summary>
    public bool TieWordEmbeddings { get; init; }

    /// <summary>Biases on q, k and v.</summary>
    public bool QkvBias { get; init; }

    /// <summary>A bias on the attention's output projection.</summary>
    public bool AttentionOutputBias { get; init; }

    /// <summary>Biases in the MLP.</summary>
    public bool MlpBias { get; init; }

    /// <summary>RMSNorm over each head of q and k, before the rotation.</summary>
    public bool QkNorm => Family == ModelFamily.Qwen3;

    /// <summary>The MLP's non-linearity.</summary>
    public Activation Activation { get; init; }

    /// <summary>
    /// Attention window per layer: a position sees itself and the <c>window - 1</c> before it. 0 means all. Empty means
    /// no layer has a window.
    /// </summary>
    public IReadOnlyList<int> Windows { get; init; } = [];

    /// <summary>Standard deviation of fresh weights.</summary>
    public double InitializerRange { get; init; } = 0.02;

    /// <summary>Id that begins a text, if any.</summary>
    public int? BosTokenId { get; init; }

    /// <summary>Ids that end a text.</summary>
    public IReadOnlyList<int> EosTokenIds { get; init; } = [];

    /// <summary>Id that fills short rows, if any.</summary>
    public int? PadTokenId { get; init; }

    /// <summary>All fields of the file this was read from.</summary>
    internal JsonObject? Source { get; init; }

    /// <summary>The <c>model_type</c> as text.</summary>
    public string ModelType => ModelNames.ModelType(Family);

    /// <summary>Attention window of a layer, 0 for none.</summary>
    public int WindowOf(int layer) => Windows.Count == 0 ? 0 : Windows[layer];

    /// <summary>Reads config.json, given its folder or the file itself.</summary>
    /// <exception cref="UserErrorException">Missing, malformed, or with a field that changes the mathematics in a way
    /// that is not supported; the message names file, field, value and what is supported.</exception>
    public static ModelConfig Read(string path)
    {
        string file = Path.GetFileName(path).EndsWith(".json", StringComparison.Ordinal)
            ? path
            : Path.Combine(path, "config.json");
        return ModelConfigReader.Read(JsonFields.Read(file));
    }

    /// <summary>Writes config.json into a folder, atomically: the fields read, overwritten by the properties.</summary>
    /// <param name="folder">The model folder; created if missing.</param>
    /// <param name="torchDType">The dtype of the weights saved beside it, as PyTorch calls it.</param>
    /// <param name="quantization">How the 4-bit layers saved beside it are made, or null if there are none.</param>
    public void Write(string folder, string torchDType = "float32", QuantizationOptions? quantization = null) =>
        ConfigJson.Write(
            Path.Combine(folder, "config.json"), ModelConfigWriter.ToJson(this, torchDType, quantization));
}
