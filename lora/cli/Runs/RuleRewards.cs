using CudaLora.Lora;

namespace CudaLora.Cli;

/// <summary>Rewards that a rule gives, by name. Programs that embed the library bring their own
/// <see cref="IReward"/>.</summary>
internal static class RuleRewards
{
    public static IReadOnlyList<string> Names { get; } = ["exact", "contains", "short", "polite"];

    /// <summary>The reward of a name.</summary>
    /// <exception cref="UsageException">The name is none of <see cref="Names"/>.</exception>
    public static IReward Of(string name, int responseLength) => name switch
    {
        // 1 for the reference, else 0.
        "exact" => new FunctionReward(
            name, sample => sample.Response.Trim() == Reference(sample, name).Trim() ? 1 : 0),
        // 1 if the reference occurs.
        "contains" => new FunctionReward(
            name, sample => sample.Response.Contains(Reference(sample, name).Trim(), StringComparison.Ordinal) ? 1 : 0),
        // The share of the allowed length that was not used.
        "short" => new FunctionReward(name, sample => 1 - ((double)sample.ResponseIds.Count / responseLength)),
        // The rule of cudalora align.
        "polite" => new FunctionReward(name, WorldManners.TrueReward),
        _ => throw new UsageException($"{OnlineSettings.Reward.Flag} must be one of {string.Join(", ", Names)}, "
            + $"but got '{name}'"),
    };

    private static string Reference(RewardSample sample, string name) => sample.Prompt.Reference
        ?? throw new InvalidOperationException($"'{name}' needs an answer in the data to compare with");
}
