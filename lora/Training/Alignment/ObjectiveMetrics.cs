using CudaLora.Engine;

namespace CudaLora.Lora;

/// <summary>An objective that measures more than its loss.</summary>
public interface IMeasuredObjective : IObjective
{
    /// <summary>
    /// Means since the last call by name, of training or of scoring; the most telling first. Reads from the device.
    /// </summary>
    IReadOnlyDictionary<string, double> TakeMetrics(bool training);
}

/// <summary>
/// Sums and counts of measured values, added up on the device, so that a step reads nothing back; two sets, for
/// training and scoring. They live as long as the model that was measured.
/// </summary>
/// <param name="names">Names, at most eight.</param>
internal sealed class ObjectiveMetrics(params string[] names)
{
    private readonly Tensor?[] totals = new Tensor?[2]; // each (2, names)
    private readonly CausalLM?[] owners = new CausalLM?[2];

    /// <summary>Adds scalars: <paramref name="sums"/> over as many values as <paramref name="counts"/> says.</summary>
    public void Add(CausalLM model, ReadOnlySpan<Tensor> sums, ReadOnlySpan<Tensor> counts)
    {
        using var scope = TensorScope.Begin();
        using var noGrad = GradMode.NoGrad();
        var both = TensorOps.Concat(0, Row(sums), Row(counts));
        var set = model.Training ? 0 : 1;
        ref var total = ref totals[set];
        if (total is null || owners[set]!.IsDisposed)
        {
            total = Tensor.Owned(both.Shape, DType.F32, model.Device);
            total.Clear();
            owners[set] = model;
            model.Attach(total);
        }
        total.CopyFrom(total.Add(both));
    }

    /// <summary>Adds sums that all have the same count.</summary>
    public void Add(CausalLM model, int count, params ReadOnlySpan<Tensor> sums)
    {
        var counts = new Tensor[sums.Length];
        Array.Fill(counts, LossMath.Constant(sums[0], count));
        Add(model, sums, counts);
    }

    /// <summary>The means, and starts again.</summary>
    public IReadOnlyDictionary<string, double> Take(bool training)
    {
        var means = new Dictionary<string, double>(StringComparer.Ordinal);
        var set = training ? 0 : 1;
        if (totals[set] is not { } total || owners[set]!.IsDisposed)
            return means;
        var values = total.ToArray();
        total.Clear();
        for (var i = 0; i < names.Length; i++)
        {
            if (values[names.Length + i] > 0)
                means[names[i]] = values[i] / (double)values[names.Length + i];
        }
        return means;
    }

    private static Tensor Row(ReadOnlySpan<Tensor> scalars)
    {
        var parts = new Tensor[scalars.Length];
        for (var i = 0; i < parts.Length; i++)
            parts[i] = scalars[i].Detach().Reshape(Shape.Of(1, 1));
        return TensorOps.Concat(1, parts);
    }
}
