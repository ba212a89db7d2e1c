using CudaLora.Engine;
using CudaLora.Lora;

namespace CudaLora.Cli;

/// <summary>What a method needs to begin.</summary>
/// <param name="Loaded">The base model.</param>
/// <param name="Values">The settings.</param>
/// <param name="Random">The run's stream.</param>
/// <param name="Data">Batches of the training set, in the order of the run.</param>
/// <param name="TotalSteps">Steps of the run.</param>
internal sealed record MethodContext(
    LoadedModel Loaded, SettingValues Values, Generator Random, Func<Batcher> Data, int TotalSteps);

/// <summary>A value of <c>--method</c>.</summary>
/// <param name="name">How it is called.</param>
/// <param name="summary">What it does, in a few words.</param>
/// <param name="rate">Learning rate if none is given.</param>
internal abstract class FineTuningMethod(string name, string summary, double rate)
{
    public string Name { get; } = name;

    public string Summary { get; } = summary;

    public double LearningRate { get; } = rate;

    /// <summary>The rate that suits the bundled model, which is small.</summary>
    public virtual double BundledRate => LearningRate;

    /// <summary>The settings it takes, of those that not every method has.</summary>
    public abstract IReadOnlyList<Setting> Settings { get; }

    /// <summary>True if it can train on a 4-bit base.</summary>
    public virtual bool TakesQuantized => true;

    /// <summary>True if <c>--adapter</c> may name an adapter to go on with.</summary>
    public virtual bool GoesOn => true;

    /// <summary>True if weights of the base train, so that they must be F32.</summary>
    public virtual bool TrainsBase => false;

    /// <summary>Tokens that it puts in front of every text.</summary>
    public virtual int VirtualTokens(SettingValues values) => 0;

    /// <summary>Refuses what cannot be, before weights or data are read.</summary>
    public virtual void Check(SettingValues values, ModelConfig model)
    {
    }

    /// <summary>Refuses targets that are tables of embeddings, by name or pattern.</summary>
    /// <exception cref="UsageException">Names the setting and what needs linear layers.</exception>
    protected static void RequireLinear(SettingValues values, ModelConfig model, string what)
    {
        string[] tables = model.Family == ModelFamily.Gpt2
            ? ["transformer.wte", "transformer.wpe"]
            : ["model.embed_tokens"];
        var targets = AdapterSettings.Selector(values.Get(AdapterSettings.Targets));
        if (tables.FirstOrDefault(targets.Matches) is { } table)
            throw new UsageException(
                $"{AdapterSettings.Targets.Flag} {targets} cannot be combined with {what}: it adapts linear layers, "
                + $"but {table} is a table of embeddings");
    }

    /// <summary>Puts the method on the model.</summary>
    public abstract IFineTuning Begin(MethodContext context);
}
