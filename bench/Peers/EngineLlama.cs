using CudaLora.Engine;
using CudaLora.Lora;

namespace CudaLora.Peers;

/// <summary>Sizes of a Llama with as many key/value heads as query heads.</summary>
internal sealed record LlamaSize(int Vocabulary, int Hidden, int Inner, int Layers, int Heads, int Batch, int Tokens)
{
    public int HeadSize => Hidden / Heads;
}

/// <summary>CudaLora's own model with LoRA on all linears of the blocks, base weights frozen.</summary>
internal sealed class EngineLlama : IDisposable
{
    private readonly List<LoraLinear> adapters = [];
    private readonly ParameterGroup[] groups;
    private readonly AdamW optimizer;

    public EngineLlama(LlamaSize size, int rank, double scale)
    {
        Model = CausalLM.Create(Config(size), seed: 1);
        var random = new Random(2);
        foreach (var linear in Model.Linears().Where(linear => linear != Model.Head))
        {
            // B is not zero, so that every gradient takes part in the comparison.
            var a = Uniform(random, rank, linear.InFeatures, 1 / MathF.Sqrt(linear.InFeatures));
            var b = Uniform(random, linear.OutFeatures, rank, 0.05f);
            var adapter = new LoraLinear(linear, a, b, scale);
            (adapter.A.Trainable, adapter.B.Trainable) = (true, true);
            linear.Adapter = adapter;
            adapters.Add(adapter);
        }
        groups = [new ParameterGroup(Trained, learningRate: 1e-3, weightDecay: 0.01)];
        optimizer = new AdamW(groups);
    }

    public CausalLM Model { get; }

    /// <summary>The sizes as config.json has them.</summary>
    public static ModelConfig Config(LlamaSize size) => new()
    {
        Family = ModelFamily.Llama,
        VocabSize = size.Vocabulary,
        HiddenSize = size.Hidden,
        IntermediateSize = size.Inner,
        Layers = size.Layers,
        Heads = size.Heads,
        KeyValueHeads = size.Heads,
        HeadDim = size.HeadSize,
        MaxPositions = size.Tokens,
    };

    /// <summary>A and B of every linear.</summary>
    public IEnumerable<Parameter> Trained => adapters.SelectMany(adapter => (Parameter[])[adapter.A, adapter.B]);

    /// <summary>Factor that clipping put on the gradients of the last step.</summary>
    public double ClipFactor { get; private set; }

    /// <summary>Forward, backward, clipping to norm 1, AdamW. Returns the loss before the step.</summary>
    public float Step(Tensor ids, Tensor labels, int count)
    {
        using var scope = TensorScope.Begin();
        optimizer.ZeroGrad();
        var loss = Model.Forward(ids).CrossEntropy(labels, 1f / count);
        loss.Backward();
        ClipFactor = GradientClip.Scale(GradientClip.Norm(groups), 1);
        optimizer.Step(gradientScale: ClipFactor);
        return loss.Item();
    }

    public void Dispose()
    {
        optimizer.Dispose();
        foreach (var adapter in adapters)
            adapter.Dispose();
        Model.Dispose();
    }

    private static Tensor Uniform(Random random, int rows, int columns, float scale)
    {
        var values = new float[rows * columns];
        for (var i = 0; i < values.Length; i++)
            values[i] = (random.NextSingle() * 2 - 1) * scale;
        return Tensor.From(values, Shape.Of(rows, columns));
    }
}
