namespace CudaLora.Lora;

/// <summary>
/// The closed world of the bundled example: some eight hundred facts about people, animals, things, lands, words and
/// small numbers, all made up or trivially true. A model of two million parameters learns them by heart from plain
/// sentences (<see cref="WorldCorpus"/>). It has then never seen an instruction, so it cannot answer one; LoRA teaches
/// it to (<see cref="WorldInstructions"/>). Facts held out of the instructions show that it learned to answer, not the
/// answers.
/// </summary>
public static class World
{
    /// <summary>All kinds of facts, always in the same order.</summary>
    public static IReadOnlyList<Relation> Relations { get; } =
        [.. WorldPeople.Relations, .. WorldNature.Relations, .. WorldWords.Relations, .. WorldNumbers.Relations];

    /// <summary>Splits "a b, c d" into ("a", "b") and ("c", "d"); an object may hold blanks.</summary>
    internal static (string Subject, string Object)[] Pairs(string text) => text.Split(',')
        .Select(pair => pair.Trim().Split(' ', 2)).Select(pair => (pair[0], pair[1])).ToArray();

    internal static string[] Words(string text) =>
        text.Split([' ', '\n'], StringSplitOptions.RemoveEmptyEntries | StringSplitOptions.TrimEntries);
}
