namespace CudaLora.Lora;

/// <summary>
/// Manners for the bundled world: a preference that a rule can check, so that the true reward of a policy is known. The
/// bundled instructions are answered in one of four manners at random; preferred is the one that says thank you. A
/// policy that learned from them is polite once in four answers; the best possible is always.
/// </summary>
public static class WorldManners
{
    private const string Polite = ", thank you.";

    private static readonly string[] Closings = [".", Polite, ", of course.", ", as everyone knows."];

    /// <summary>Instructions with answers in random manners: what is learned before any preference.</summary>
    public static (IReadOnlyList<DataExample> Train, IReadOnlyList<DataExample> HeldOut) Instructions(int seed = 1)
    {
        var (train, held) = WorldInstructions.Make();
        var draw = new WorldDraw(seed);
        return (Answered(train), Answered(held));

        DataExample[] Answered(IReadOnlyList<WorldInstructions.Item> items) =>
            [.. items.Select(item => Example(item, draw.Of(Closings)))];
    }

    /// <summary>Pairs of a polite answer and one in another manner.</summary>
    /// <param name="count">Pairs, at most one per instruction.</param>
    /// <param name="seed">Seed of the choice.</param>
    /// <param name="heldOut">From the instructions held out.</param>
    public static IReadOnlyList<PreferencePair> Pairs(int count, int seed = 1, bool heldOut = false)
    {
        var (train, held) = WorldInstructions.Make();
        var items = heldOut ? held : train;
        var draw = new WorldDraw(seed);
        string[] others = [.. Closings.Where(closing => closing != Polite)];
        return [.. draw.Order(items.Count).Take(count)
            .Select(i => new PreferencePair(Example(items[i], Polite), Example(items[i], draw.Of(others))))];
    }

    /// <summary>Prompts with the right answers as references.</summary>
    public static IReadOnlyList<PromptRecord> Prompts(bool heldOut = false)
    {
        var (train, held) = WorldInstructions.Make();
        return [.. (heldOut ? held : train).Select(item => new PromptRecord(
            new ChatExample([new ChatMessage(ChatMessage.User, item.Instruction)]), item.Output))];
    }

    /// <summary>The true reward: 1 for an answer that says thank you once and at its end, else 0.</summary>
    public static double TrueReward(RewardSample sample) =>
        sample.IsFinished && sample.Response.EndsWith(Polite, StringComparison.Ordinal)
        && sample.Response.IndexOf("thank", StringComparison.OrdinalIgnoreCase)
            == sample.Response.LastIndexOf("thank", StringComparison.OrdinalIgnoreCase)
            ? 1
            : 0;

    /// <summary>
    /// A flawed stand-in for the true reward, for experiments: how often an answer says thank. It grows without end
    /// where the true reward falls.
    /// </summary>
    public static double Flattery(RewardSample sample) =>
        sample.Response.Split("thank", StringSplitOptions.None).Length - 1;

    /// <summary>Whether the answer, manners aside, is the reference.</summary>
    public static bool IsRight(RewardSample sample) =>
        sample.Prompt.Reference is { } reference
        && (sample.Response == reference
            || sample.Response.StartsWith(reference + ",", StringComparison.Ordinal)
            || sample.Response.StartsWith(reference + ".", StringComparison.Ordinal));

    private static ChatExample Example(WorldInstructions.Item item, string closing) => new(
    [
        new ChatMessage(ChatMessage.User, item.Instruction),
        new ChatMessage(ChatMessage.Assistant, item.Output + closing),
    ]);
}
