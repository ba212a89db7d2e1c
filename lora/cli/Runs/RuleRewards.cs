using CudaLora.Lora;

namespace CudaLora.Cli;

/// <summary>Rewards that a rule gives, by name. Programs that embed the library bring their own
/// <see cref="IReward"/>.</summary>
internal static class RuleRewards
{
    public static IReadOnlyList<string> Names { get; } = ["exact", "contains", "short", "polite"];

    /// <summary>Whether a rule compares with the answer that the data has to each prompt.</summary>
    public static bool NeedsAnswers(string name) => name is "exact" or "contains";

    /// <summary>The reward of a name.</summary>
    /// <exception cref="UsageException">The name is none of <see cref="Names"/>.</exception>
    public static IReward Of(string name, int responseLength) => name switch
    {
        // 1 for the reference, else 0.
        "exact" => new FunctionReward(
            name, sample => sample.Response.Trim() == sample.Prompt.Reference?.Trim() ? 1 : 0),
        // 1 if the reference occurs.
        "contains" => new FunctionReward(
            name, sample => sample.Prompt.Reference is { } answer
                && sample.Response.Contains(answer.Trim(), StringComparison.Ordinal) ? 1 : 0),
        // The share of the allowed length that was not used.
        "short" => new FunctionReward(name, sample => 1 - ((double)sample.ResponseIds.Count / responseLength)),
        // The rule of cudalora align.
        "polite" => new FunctionReward(name, WorldManners.TrueReward),
        _ => throw new UsageException($"{OnlineSettings.Reward.Flag} must be one of {string.Join(", ", Names)}, "
            + $"but got '{name}'"),
    };
}
