namespace CudaLora.Lora;

/// <summary>
/// Manners for the bundled world: a preference that a rule can check, so that the true reward of a policy is known. The
/// bundled instructions are answered in one of four manners at random; preferred is the one that says thank you. A
/// policy that learned from them is polite once in four answers; the best possible is always. The facts are in three
/// parts that share none: settings are chosen on the validation part, so figures are of the test part, on which nothing
/// was chosen.
/// </summary>
public static class WorldManners
{
    private const string Polite = ", thank you.";
    private const int TestedOneIn = 7, TestSeed = 3;

    private static readonly string[] Closings = [".", Polite, ", of course.", ", as everyone knows."];

    /// <summary>Instructions with answers in random manners: what is learned before any preference.</summary>
    public static IReadOnlyList<DataExample> Instructions(WorldPart part, int seed = 1)
    {
        var draw = new WorldDraw(seed);
        return [.. Items(part).Select(item => Example(item, draw.Of(Closings)))];
    }

    /// <summary>Pairs of a polite answer and one in another manner.</summary>
    /// <param name="part">Where the instructions are from.</param>
    /// <param name="count">Pairs, at most one per instruction.</param>
    /// <param name="seed">Seed of the choice.</param>
    public static IReadOnlyList<PreferencePair> Pairs(WorldPart part, int count, int seed = 1)
    {
        var items = Items(part);
        var draw = new WorldDraw(seed);
        string[] others = [.. Closings.Where(closing => closing != Polite)];
        return [.. draw.Order(items.Length).Take(count)
            .Select(i => new PreferencePair(Example(items[i], Polite), Example(items[i], draw.Of(others))))];
    }

    /// <summary>Prompts with the right answers as references.</summary>
    public static IReadOnlyList<PromptRecord> Prompts(WorldPart part) => [.. Items(part).Select(item =>
        new PromptRecord(new ChatExample([new ChatMessage(ChatMessage.User, item.Instruction)]), item.Output))];

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

    // The validation part is what the instructions hold out; the test part is taken from the rest.
    private static WorldInstructions.Item[] Items(WorldPart part)
    {
        var (train, held) = WorldInstructions.Make();
        if (part == WorldPart.Validation)
            return [.. held];
        var tested = train.GroupBy(item => item.Relation).SelectMany((relation, r) =>
        {
            int[] facts = [.. relation.Select(item => item.Fact).Distinct().Order()];
            return Permutation.Of(facts.Length, TestSeed, r)
                .Take(Math.Max(2, facts.Length / TestedOneIn)).Select(i => (relation.Key, facts[i]));
        }).ToHashSet();
        return [.. train.Where(item => tested.Contains((item.Relation, item.Fact)) == (part == WorldPart.Test))];
    }

    private static ChatExample Example(WorldInstructions.Item item, string closing) => new(
    [
        new ChatMessage(ChatMessage.User, item.Instruction),
        new ChatMessage(ChatMessage.Assistant, item.Output + closing),
    ]);
}
