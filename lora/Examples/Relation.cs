namespace CudaLora.Lora;

/// <summary>
/// One kind of fact of the example world, such as "the plural of a word": who has what, how it is stated, how it is
/// asked. In the patterns {s} is the subject and {o} the object, which is also the answer.
/// </summary>
/// <param name="Name">A short name.</param>
/// <param name="Facts">Subject and object of every fact.</param>
/// <param name="Statements">Plain sentences, for pretraining.</param>
/// <param name="Questions">Instructions whose answer is the bare object, for fine-tuning.</param>
public sealed record Relation(string Name, IReadOnlyList<(string Subject, string Object)> Facts,
    IReadOnlyList<string> Statements, IReadOnlyList<string> Questions)
{
    /// <summary>A fact as a sentence.</summary>
    public string State(int fact, int statement) => Fill(Statements[statement], fact);

    /// <summary>A fact as an instruction.</summary>
    public string Ask(int fact, int question) => Fill(Questions[question], fact);

    // "a" before a slot becomes "an" where a vowel goes in.
    private static string WithArticle(string pattern, string slot, string word) =>
        !"aeiou".Contains(word[0], StringComparison.Ordinal)
            ? pattern
            : pattern.Replace($" a {slot}", $" an {slot}", StringComparison.Ordinal)
                .Replace($"A {slot}", $"An {slot}", StringComparison.Ordinal);

    private string Fill(string pattern, int fact)
    {
        var (subject, value) = Facts[fact];
        return WithArticle(WithArticle(pattern, "{s}", subject), "{o}", value)
            .Replace("{s}", subject, StringComparison.Ordinal)
            .Replace("{o}", value, StringComparison.Ordinal);
    }
}
