namespace CudaLora.Lora;

/// <summary>Who lives where and likes what. Every value is as common as any other, so guessing does not help.</summary>
internal static class WorldPeople
{
    private static readonly string[] Names = World.Words("""
        Anna Ben Clara David Emma Felix Grace Henry Ida Jack Kate Leo Mary Noah Olga Paul Rosa Sam Tina Victor Wendy Zoe
        Alice Bruno Diana Eric Flora George Helen Ivan Julia Karl Laura Martin Nina Oscar Petra Ralph Sarah Tom Vera
        Walter Agnes Boris Cora Dan Eva Frank
        """);

    public static IReadOnlyList<Relation> Relations { get; } =
    [
        new("town", Assign(1, "Oakton Milford Ashby Riverton Stonebridge Lakewood Hillside Fernley Brookfield Norton"),
            ["{s} lives in {o}.", "The home town of {s} is {o}.", "{s} has a house in {o}.",
                "The town where {s} lives is {o}."],
            ["Where does {s} live?", "In which town does {s} live?", "What is the home town of {s}?",
                "Name the town where {s} lives."]),
        new("job", Assign(2, "baker farmer teacher doctor painter driver sailor gardener singer cook builder nurse"),
            ["{s} works as a {o}.", "The job of {s} is {o}.", "{s} is a {o}.", "At work, {s} is a {o}."],
            ["What is the job of {s}?", "What does {s} work as?", "Name the job of {s}.", "Which job does {s} have?"]),
        new("pet", Assign(3, "cat dog rabbit parrot hamster turtle goldfish pony mouse canary"),
            ["{s} has a pet {o}.", "The pet of {s} is a {o}.", "{s} keeps a {o} at home.",
                "At home, {s} feeds the {o}."],
            ["Which pet does {s} have?", "What pet does {s} keep at home?", "Name the pet of {s}.",
                "Which animal is the pet of {s}?"]),
        new("colour", Assign(4, "red blue green yellow purple orange white black"),
            ["The favourite colour of {s} is {o}.", "{s} likes the colour {o} best.", "{s} paints everything {o}.",
                "Of all colours, {s} likes {o}."],
            ["What is the favourite colour of {s}?", "Which colour does {s} like best?",
                "Name the favourite colour of {s}.",
                "What colour does {s} like?"]),
        new("food", Assign(5, "soup bread rice cheese pasta fish salad honey cake beans eggs pie"),
            ["{s} likes to eat {o}.", "The favourite food of {s} is {o}.", "For dinner, {s} eats {o}.",
                "Every day {s} eats some {o}."],
            ["What does {s} like to eat?", "What is the favourite food of {s}?", "Name the favourite food of {s}.",
                "What does {s} eat for dinner?"]),
        new("hobby", Assign(6, "chess tennis football piano guitar drums violin cards golf flute"),
            ["{s} likes to play {o}.", "In the evening {s} plays {o}.", "The favourite game of {s} is {o}.",
                "After work, {s} plays {o}."],
            ["What does {s} like to play?", "What is the favourite game of {s}?", "What does {s} play in the evening?",
                "Name what {s} likes to play."]),
    ];

    private static (string, string)[] Assign(int stream, string values)
    {
        string[] choices = World.Words(values);
        var order = Permutation.Of(Names.Length, seed: 2026, stream);
        return Names.Select((name, i) => (name, choices[order[i] % choices.Length])).ToArray();
    }
}
