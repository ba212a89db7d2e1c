namespace CudaLora.Lora;

/// <summary>Word skills on a closed vocabulary: each is a lookup that the model knows by heart from the
/// corpus.</summary>
internal static class WorldWords
{
    private static readonly string[] Short = World.Words("""
        dog cat sun map pen cup hat box bus key bed egg fox jam net pot rug tap van web ice oak arm leg toe ear eye lip
        boat ball book door fish hand lamp moon nose ring ship tree wall wind frog milk
        """);

    public static IReadOnlyList<Relation> Relations { get; } =
    [
        new("plural", World.Pairs("""
            mouse mice, goose geese, child children, man men, woman women, tooth teeth, foot feet, ox oxen, sheep sheep,
            leaf leaves, knife knives, wolf wolves, box boxes, bus buses, city cities, baby babies, berry berries,
            fox foxes, dog dogs, cat cats, tree trees, book books, house houses, apple apples, table tables,
            chair chairs, river rivers, cloud clouds, potato potatoes, tomato tomatoes, hero heroes, shelf shelves,
            loaf loaves, wife wives, lady ladies, fly flies, brush brushes, glass glasses, watch watches,
            bench benches
            """),
            ["The plural of {s} is {o}.", "One {s}, two {o}.", "If there are many of {s}, we say {o}.",
                "The word {s} has the plural {o}."],
            ["What is the plural of {s}?", "Give the plural of {s}.", "Write the plural of the word {s}.",
                "Put the word {s} into the plural."]),
        new("opposite", Both("""
            hot cold, big small, fast slow, old new, good bad, happy sad, high low, long short, light dark, rich poor,
            wet dry, hard soft, early late, open closed, full empty, clean dirty, strong weak, loud quiet, near far,
            thick thin, sweet sour, true false, cheap expensive, easy difficult
            """),
            ["The opposite of {s} is {o}.", "What is not {s} is {o}.", "The words {s} and {o} are opposites.",
                "The word {s} is the opposite of {o}."],
            ["What is the opposite of {s}?", "Give the opposite of {s}.", "Write the opposite of the word {s}.",
                "Which word is the opposite of {s}?"]),
        new("past", World.Pairs("""
            go went, see saw, eat ate, run ran, sing sang, swim swam, write wrote, drive drove, take took, give gave,
            come came, find found, make made, think thought, buy bought, bring brought, teach taught, catch caught,
            sleep slept, keep kept, feel felt, leave left, lose lost, tell told, sell sold, stand stood, win won,
            speak spoke, break broke, fly flew, know knew, grow grew, throw threw, draw drew, wear wore, ride rode
            """),
            ["The past tense of {s} is {o}.", "Today I {s}, yesterday I {o}.", "The verb {s} has the past tense {o}.",
                "Yesterday we {o}, and today we {s} again."],
            ["What is the past tense of {s}?", "Give the past tense of {s}.", "Write the past tense of the verb {s}.",
                "Put the verb {s} into the past tense."]),
        new("upper", Short.Take(30).Select(word => (word, word.ToUpperInvariant())).ToArray(),
            ["In capital letters {s} is {o}.", "The word {s} in capitals is {o}.",
                "On the sign, {s} is written as {o}.",
                "Written large, {s} becomes {o}."],
            ["Write {s} in capital letters.", "What is {s} in capitals?", "Put the word {s} into capitals.",
                "Give the word {s} in capital letters."]),
        new("reverse", Short.Take(30).Select(word => (word, new string([.. word.Reverse()]))).ToArray(),
            ["The word {s} backwards is {o}.", "Read from the end, {s} is {o}.", "In the mirror, {s} becomes {o}.",
                "The letters of {s} in reverse are {o}."],
            ["What is {s} backwards?", "Write the word {s} backwards.", "Reverse the word {s}.",
                "Give the letters of {s} in reverse."]),
        new("first", Short.Select(word => (word, word[..1])).ToArray(),
            ["The first letter of {s} is {o}.", "The word {s} begins with {o}.",
                "The word {s} starts with the letter {o}.",
                "At the start of {s} is {o}."],
            ["What is the first letter of {s}?", "Which letter does {s} begin with?", "Give the first letter of {s}.",
                "Name the first letter of the word {s}."]),
        new("last", Short.Select(word => (word, word[^1..])).ToArray(),
            ["The last letter of {s} is {o}.", "The word {s} ends with {o}.", "The word {s} ends in the letter {o}.",
                "At the end of {s} is {o}."],
            ["What is the last letter of {s}?", "Which letter does {s} end with?", "Give the last letter of {s}.",
                "Name the last letter of the word {s}."]),
    ];

    private static (string, string)[] Both(string pairs) =>
        World.Pairs(pairs).SelectMany(pair => new[] { pair, (pair.Object, pair.Subject) }).ToArray();
}
