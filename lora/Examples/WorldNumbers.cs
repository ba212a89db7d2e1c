namespace CudaLora.Lora;

/// <summary>Small sums in words, and what follows what.</summary>
internal static class WorldNumbers
{
    private static readonly string[] Numbers = World.Words("""
        zero one two three four five six seven eight nine ten eleven twelve thirteen fourteen fifteen sixteen seventeen
        eighteen
        """);

    public static IReadOnlyList<Relation> Relations { get; } =
    [
        new("sum", Sums(),
            ["{s} is {o}.", "{s} makes {o}.", "The sum {s} is {o}.", "Together, {s} gives {o}."],
            ["What is {s}?", "How much is {s}?", "Work out {s}.", "Give the sum {s}."]),
        new("after", Chain("""
            Monday Tuesday Wednesday Thursday Friday Saturday Sunday Monday
            """).Concat(Chain("""
            January February March April May June July August September October November December January
            """)).ToArray(),
            ["After {s} comes {o}.", "{s} is followed by {o}.", "When {s} is over, it is {o}.",
                "Next after {s} is {o}."],
            ["What comes after {s}?", "What is next after {s}?", "Name what follows {s}.", "What follows {s}?"]),
    ];

    private static (string, string)[] Sums() =>
        (from a in Enumerable.Range(1, 9)
         from b in Enumerable.Range(1, 9)
         select ($"{Numbers[a]} plus {Numbers[b]}", Numbers[a + b])).ToArray();

    private static IEnumerable<(string, string)> Chain(string words)
    {
        string[] all = World.Words(words);
        return all.Zip(all.Skip(1));
    }
}
