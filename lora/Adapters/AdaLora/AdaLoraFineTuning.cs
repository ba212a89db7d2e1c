using CudaLora.Engine;
using CudaLora.Kernels.Simd;

namespace CudaLora.Lora;

/// <summary>
/// Trains an AdaLoRA adapter and gives out its ranks: a penalty keeps P and Q orthonormal, every step scores the
/// triplets, and the schedule of the config takes the least ones away.
/// </summary>
/// <param name="adapter">The adapter, active on its model.</param>
public sealed class AdaLoraFineTuning(AdaLoraAdapter adapter) : AdapterFineTuning(adapter, "adalora"), IFineTuning
{
    private readonly (Importance A, Importance B, Importance E)[] scores =
    [
        .. adapter.Layers.Select(layer =>
            (new Importance(layer.A), new Importance(layer.B), new Importance(layer.E))),
    ];

    private AdaLoraConfig Config => adapter.Config;

    /// <inheritdoc/>
    public override bool HasHostWork => true;

    /// <summary>The mean over all P and Q of ‖P Pᵀ - I‖, times its weight; not squared, as in PEFT.</summary>
    double IFineTuning.AddPenalty()
    {
        if (Config.OrthRegWeight == 0)
            return 0;
        var weight = Config.OrthRegWeight / (2 * adapter.Layers.Count);
        double sum = 0;
        foreach (var layer in adapter.Layers)
            sum += Orthogonality(layer.A.Value, true, weight) + Orthogonality(layer.B.Value, false, weight);
        return weight * sum;
    }

    void IFineTuning.Updated(in MethodStep step)
    {
        var budget = new RankBudget(
            adapter.Layers.Count * Config.InitR, adapter.Layers.Count * Config.TargetR, Config.TInit, Config.TFinal,
            Config.TotalStep, Config.DeltaT);
        var last = Config.TotalStep - Config.TFinal;
        if (step.Step > last)
        {
            // E moves with the optimiser: the ranks that are gone stay at zero.
            adapter.Mask([.. adapter.Layers.Select(layer => layer.Kept)]);
            return;
        }
        foreach (var (a, b, e) in scores)
        {
            foreach (var importance in new[] { a, b, e })
                importance.Update(Config.Beta1, Config.Beta2, step.GradientScale);
        }
        var (ranks, allocates) = budget.At(step.Step);
        if (step.Step == last)
            adapter.Mask(Kept(budget.Target));
        else if (allocates)
            adapter.Mask(Kept(ranks));
    }

    /// <inheritdoc/>
    public override IEnumerable<(string Name, Tensor Value)> State() =>
        scores.SelectMany(s => s.A.State().Concat(s.B.State()).Concat(s.E.State()))
            // The adapter's files leave the triplets out that are gone, but they may come back.
            .Concat(adapter.TrainableParameters().Select(p => (p.Path.Value, p.Value)));

    /// <summary>The score of every triplet: that of E, and the means of those of its vectors in A and B.</summary>
    internal double[][] TripletScores() => [.. adapter.Layers.Zip(scores).Select(pair =>
    {
        var (layer, (a, b, e)) = pair;
        var (rank, width, height) = (layer.Kept.Length, layer.A.Value.Shape[1], layer.B.Value.Shape[0]);
        double[] ofA = a.Scores(), ofB = b.Scores(), ofE = e.Scores();
        for (var k = 0; k < rank; k++)
        {
            ofE[k] += ofA.AsSpan(k * width, width).ToArray().Average();
            ofE[k] += Enumerable.Range(0, height).Average(i => ofB[(i * rank) + k]);
        }
        return ofE;
    })];

    // All but the least ones; ties with the largest of those go too.
    private bool[][] Kept(int budget)
    {
        var triplets = TripletScores();
        var sorted = triplets.SelectMany(s => s).Order().ToArray();
        var gone = sorted.Length - budget;
        var threshold = gone > 0 ? sorted[gone - 1] : double.NegativeInfinity;
        return [.. triplets.Select(layer => layer.Select(score => score > threshold).ToArray())];
    }

    // ‖M‖ with M = P Pᵀ - I; adds weight * 2 M P / ‖M‖ to the gradient. `byRows` tells whether P is stored by rows.
    private static unsafe double Orthogonality(Tensor value, bool byRows, double weight)
    {
        using var scope = TensorScope.Begin();
        var p = value.To(Device.Cpu);
        var (rows, columns) = (p.Shape[0], p.Shape[1]);
        var rank = byRows ? rows : columns;
        var gram = Tensor.Empty(Shape.Of(rank, rank), device: Device.Cpu);
        float* m = gram.Pointer<float>(), from = p.Pointer<float>();
        Gemm.Run(!byRows, byRows, rank, rank, byRows ? columns : rows, 1, from, columns, from, columns, 0, m, rank);
        double sum = 0;
        for (var i = 0; i < rank * rank; i++)
        {
            m[i] -= i % (rank + 1) == 0 ? 1 : 0;
            sum += (double)m[i] * m[i];
        }
        var norm = Math.Sqrt(sum);
        if (norm == 0 || value.Grad is not { } gradient)
            return norm;
        var total = gradient.OnHost();
        var to = total.Pointer<float>();
        var factor = (float)(2 * weight / norm);
        if (byRows)
            Gemm.Run(false, false, rows, columns, rows, factor, m, rank, from, columns, 1, to, columns);
        else
            Gemm.Run(false, false, rows, columns, rank, factor, from, columns, m, rank, 1, to, columns);
        if (total == gradient)
            return norm;
        gradient.CopyFrom(total);
        total.Dispose();
        return norm;
    }
}
