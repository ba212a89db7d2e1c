using CudaLora.Engine;

namespace CudaLora.Bench.Ops;

/// <summary>Two frozen layers with adapters of rank 16 on one input, which share S and dA, as gate and up.</summary>
public class LoraLinearsBench : ProductBench
{
    private const int Rank = 16;
    private readonly Tensor[] a = new Tensor[2];
    private readonly Tensor[] b = new Tensor[2];

    /// <inheritdoc/>
    protected override void Prepare()
    {
        for (var i = 0; i < 2; i++)
        {
            a[i] = Random(4 + i, Shape.Of(Rank, Case.In), true);
            b[i] = Random(6 + i, Shape.Of(Case.Out, Rank), true);
        }
    }

    /// <inheritdoc/>
    protected override void ZeroGrad()
    {
        foreach (var tensor in a.Concat(b))
            tensor.ZeroGrad();
    }

    /// <inheritdoc/>
    protected override Tensor Apply()
    {
        var y = X.LoraLinears(new(Weight, null, null, a[0], b[0], 2f), new(Weight, null, null, a[1], b[1], 2f));
        return y[0].Add(y[1]);
    }
}
