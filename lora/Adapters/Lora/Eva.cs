using CudaLora.Engine;

namespace CudaLora.Lora;

/// <summary>
/// EVA (Paischer et al. 2024, arXiv 2410.07170): A begins as the directions in which a layer's inputs vary most, B as
/// zero, and the ranks go to the layers whose inputs they explain best.
/// </summary>
public static class Eva
{
    /// <summary>A new adapter whose A and ranks come from what the model does with some data.</summary>
    /// <param name="model">The base model.</param>
    /// <param name="config">The adapter; its ranks are the budget that is given out anew.</param>
    /// <param name="data">Batches of the data to adapt to; their labelled tokens count.</param>
    /// <param name="random">The adapter's stream.</param>
    /// <param name="rho">Most ranks of a layer, as a multiple of its rank in the config.</param>
    /// <param name="tau">Cosine between the directions of two batches from which a layer counts as known.</param>
    /// <exception cref="UserErrorException">The data has too few labelled tokens, or a target is no linear
    /// layer.</exception>
    public static LoraAdapter Create(
        CausalLM model, LoraConfig config, Batcher data, Generator random, double rho = 2, double tau = 0.99)
    {
        config.Validate();
        var targets = TargetModules.Resolve(config, model.ModulePaths(), model.Config.Family);
        if (targets.FirstOrDefault(t => !t.Module.IsLinear) is { Rank: > 0 } table)
            throw new UserErrorException(
                $"init_lora_weights eva needs linear layers, but target_modules has {table.Module.Path}");
        var found = Directions(model, targets, data, rho, tau);
        var ranks = Distribute(targets, found.Select(pca => pca.VarianceShares()).ToArray(), rho);
        var kept = targets.Zip(ranks).Where(pair => pair.Second > 0).ToArray();
        var adapter = LoraAdapter.Create(
            model,
            config with
            {
                InitLoraWeights = LoraInit.Default,
                TargetModules = ModuleSelector.Of(kept.Select(pair => pair.First.Module.Path)),
                RankPattern = [.. kept.Select(pair => KeyValuePair.Create(pair.First.Module.Path, pair.Second))],
                AlphaPattern = [.. kept.Select(pair => KeyValuePair.Create(
                    pair.First.Module.Path, AlphaOf(config, pair.First, pair.Second)))],
            },
            random);
        foreach (var layer in adapter.Layers)
        {
            var pca = found[targets.ToList().FindIndex(t => t.Module.Path == layer.Linear.Path.Value)];
            layer.A.Value.CopyFrom(pca.Directions.AsSpan(0, (int)layer.A.Value.Count));
        }
        return adapter;
    }

    // The scale stays what it was.
    private static double AlphaOf(LoraConfig config, LoraTarget target, int rank) =>
        target.Scale * (config.UseRsLora ? Math.Sqrt(rank) : rank);

    private static IncrementalPca[] Directions(
        CausalLM model, IReadOnlyList<LoraTarget> targets, Batcher data, double rho, double tau)
    {
        var linears = model.Linears().ToDictionary(linear => linear.Path.Value);
        var layers = targets.Select(t => linears[t.Module.Path]).ToArray();
        var found = new IncrementalPca?[layers.Length];
        using var evaluating = TrainingMode.Off(model);
        var before = layers.Select(layer => layer.Adapter).ToArray();
        try
        {
            var batch = new Batch();
            for (var i = 0; i < data.BatchesPerEpoch && !Array.TrueForAll(found, pca => pca?.Converged == true); i++)
            {
                data.Next(batch);
                using var scope = TensorScope.Begin();
                var inputs = Inputs(model, layers, batch);
                var done = new HashSet<IncrementalPca>();
                for (var j = 0; j < layers.Length; j++)
                {
                    // Layers that read the same tensor, such as q, k and v, share their directions.
                    var first = Array.FindIndex(inputs, x => ReferenceEquals(x, inputs[j]));
                    found[j] ??= first < j ? found[first] : new IncrementalPca(
                        layers[j].InFeatures,
                        Math.Min(layers[j].InFeatures, (int)Math.Round(targets[j].Rank * rho)));
                    if (done.Add(found[j]!) && !found[j]!.Converged)
                        found[j]!.Add(Labelled(inputs[j], batch), tau);
                }
            }
        }
        finally
        {
            for (var j = 0; j < layers.Length; j++)
                layers[j].Adapter = before[j];
            data.State = default;
        }
        var missing = Array.FindIndex(found, pca => pca is null || pca.Directions.Length == 0);
        return missing < 0
            ? Array.ConvertAll(found, pca => pca!)
            : throw new UserErrorException(
                $"init_lora_weights eva needs batches of at least as many labelled tokens as r times {rho}, but the "
                + $"data has none: raise --per-device-train-batch-size or lower r ({targets[missing].Rank})");
    }

    private static Tensor[] Inputs(CausalLM model, Linear[] layers, Batch batch)
    {
        var recorders = layers.Select(_ => new Recorder()).ToArray();
        for (var j = 0; j < layers.Length; j++)
            layers[j].Adapter = recorders[j];
        using var noGrad = GradMode.NoGrad();
        var shape = Shape.Of(batch.B, batch.T);
        var hidden = model.Hidden(
            Tensor.From(batch.Ids, shape, model.Device), Tensor.From(batch.Positions, shape, model.Device),
            batch.Packed ? Tensor.From(batch.Segments, shape, model.Device) : null);
        if (layers.Contains(model.Head))
            model.Logits(hidden);
        return Array.ConvertAll(recorders, r => r.Input!);
    }

    private static float[] Labelled(Tensor x, Batch batch)
    {
        var width = x.Shape[^1];
        var values = x.ToArray();
        var rows = new List<float>();
        for (var t = 0; t < batch.Labels.Length; t++)
        {
            if (batch.Labels[t] != SftExample.Ignored)
                rows.AddRange(values.AsSpan(t * width, width));
        }
        return [.. rows];
    }

    // The budget goes to the largest shares of variance, whatever layer they are of.
    private static int[] Distribute(IReadOnlyList<LoraTarget> targets, double[][] shares, double rho)
    {
        var ranks = new int[targets.Count];
        var budget = targets.Sum(t => t.Rank);
        var largest = shares
            .SelectMany((layer, j) => layer
                .Take((int)Math.Round(targets[j].Rank * rho)).Select((share, i) => (Share: share, Layer: j, I: i)))
            .OrderByDescending(c => c.Share).ThenBy(c => c.I).ThenBy(c => c.Layer);
        foreach (var choice in largest.Take(budget))
            ranks[choice.Layer]++;
        return ranks;
    }

    private sealed class Recorder : ILinearAdapter
    {
        public Tensor? Input { get; private set; }

        public Tensor Forward(Linear linear, Tensor x)
        {
            Input = x;
            return linear.Plain(x);
        }
    }
}
