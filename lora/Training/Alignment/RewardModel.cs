using CudaLora.Engine;

namespace CudaLora.Lora;

/// <summary>
/// A reward model: a base with <see cref="CausalLM.Score"/>, and perhaps a LoRA adapter of task type SEQ_CLS that
/// trains both. The adapter may share its base with others; while it scores, it is the active one.
/// </summary>
/// <param name="model">The base, with a score head.</param>
/// <param name="adapter">The adapter, or null when the base itself is the reward model.</param>
public sealed class RewardModel(CausalLM model, LoraAdapter? adapter = null) : IReward
{
    /// <summary>The task type of PEFT's config.</summary>
    public const string TaskType = "SEQ_CLS";

    /// <inheritdoc/>
    public string Name => "reward model";

    /// <summary>The base.</summary>
    public CausalLM Model => model;

    /// <summary>The adapter, or null.</summary>
    public LoraAdapter? Adapter => adapter;

    /// <summary>Rows scored at once.</summary>
    public int BatchSize { get; init; } = 32;

    /// <summary>A new one with an adapter that trains, its score head in <c>modules_to_save</c> as in PEFT.</summary>
    public static RewardModel Create(CausalLM model, LoraConfig config, Generator random, string name = "reward")
    {
        model.AddScore(random: random);
        return new RewardModel(model, LoraAdapter.Create(model, Classifier(config), random, name));
    }

    /// <summary>Reads an adapter folder that <see cref="LoraAdapter.Save"/> or PEFT wrote.</summary>
    /// <exception cref="UserErrorException">Not the adapter of a reward model, or for another base.</exception>
    public static RewardModel Load(CausalLM model, string folder, string name = "reward")
    {
        var config = LoraConfig.Read(folder);
        if (!config.ModulesToSave.Contains("score"))
            throw new UserErrorException(
                $"{folder}: a reward model's adapter must have 'score' in modules_to_save, but has "
                + $"[{string.Join(", ", config.ModulesToSave)}] (task_type {config.TaskType})");
        model.AddScore();
        var active = model.ActiveAdapter;
        var loaded = new RewardModel(model, LoraAdapter.Load(model, folder, name));
        active?.Activate();
        return loaded;
    }

    /// <summary>A config whose adapter trains the score head too.</summary>
    public static LoraConfig Classifier(LoraConfig config) => config with
    {
        TaskType = TaskType,
        ModulesToSave = [.. config.ModulesToSave.Union(["score"])],
    };

    /// <inheritdoc/>
    public void Score(IReadOnlyList<RewardSample> samples, Span<float> rewards) => Score(
        [.. samples.Select(sample => (IReadOnlyList<int>)[.. sample.PromptIds, .. sample.ResponseIds])], rewards);

    /// <summary>Writes the reward of each text, given as tokens of prompt and response.</summary>
    public void Score(IReadOnlyList<IReadOnlyList<int>> texts, Span<float> rewards)
    {
        var former = model.ActiveAdapter;
        using var evaluating = TrainingMode.Off(model);
        if (former != adapter)
        {
            former?.Deactivate();
            adapter?.Activate();
        }
        try
        {
            using var noGrad = GradMode.NoGrad();
            Run(texts, rewards);
        }
        finally
        {
            if (former != adapter)
            {
                adapter?.Deactivate();
                former?.Activate();
            }
        }
    }

    private void Run(IReadOnlyList<IReadOnlyList<int>> texts, Span<float> rewards)
    {
        using var inputs = new InputSet(model.Device);
        var examples = texts.Select(text => new SftExample([.. text], [.. text])).ToArray();
        var data = new Batcher(examples, new BatcherOptions { BatchSize = BatchSize, Shuffle = false });
        var (batch, last) = (new Batch(), new LastTokens());
        for (var at = 0; at < texts.Count; at += batch.B)
        {
            using var scope = TensorScope.Begin();
            data.Next(batch);
            inputs.Begin();
            last.Prepare(batch, inputs);
            inputs.Commit();
            LastTokens.Values(model, inputs).CopyTo(rewards.Slice(at, batch.B));
            inputs.Used();
        }
    }
}
