using BenchmarkDotNet.Attributes;
using CudaLora.Engine;

namespace CudaLora.Bench.Ops;

/// <summary>
/// The loss of a language model's last step with a frozen output layer: logits a chunk at a time, against logits that
/// exist whole.
/// </summary>
public class LinearCrossEntropyBench : ProductBench
{
    private Tensor labels = null!;
    private Tensor scale = null!;

    /// <summary>Tokens, hidden size, vocabulary.</summary>
    public static new IEnumerable<Size> Sizes => [new(2048, 256, 8192), new(1024, 512, 32000)];

    /// <inheritdoc/>
    protected override void Prepare()
    {
        var ids = new int[Case.Rows];
        for (var i = 0; i < ids.Length; i++)
            ids[i] = i * 37 % Case.Out;
        labels = Tensor.From(ids, Shape.Of(ids.Length));
        scale = Tensor.From([1f / Case.Rows], Shape.Scalar);
    }

    /// <summary>Linear, then cross-entropy, with its gradient.</summary>
    [Benchmark]
    public void WholeLogitsBackward()
    {
        X.ZeroGrad();
        using var scope = TensorScope.Begin();
        X.Linear(Weight).CrossEntropy(labels, scale).Backward();
    }

    /// <inheritdoc/>
    protected override Tensor Apply() => X.LinearCrossEntropy(Weight, labels, scale);
}
