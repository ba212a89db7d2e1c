namespace CudaLora.Lora;

/// <summary>
/// The pretraining text: short documents of plain sentences, made from <see cref="World"/>. Facts about one subject
/// stand together in changing order and wording, so that they attach to the subject and not to the sentence before; and
/// some small stories, whose end can be read off their beginning. No question, no instruction, no answer on its own.
/// </summary>
public static class WorldCorpus
{
    private static readonly string[] Openings =
        ["", "", "", "Everyone knows this.", "Here are some facts.", "It is simple.", "Listen.", "This is true."];

    /// <summary>Endless documents of one line each; the same for the same seed.</summary>
    public static IEnumerable<string> Documents(int seed)
    {
        var draw = new WorldDraw(seed);
        var bySubject = World.Relations
            .SelectMany(relation => relation.Facts.Select((fact, at) => (fact.Subject, Relation: relation, Fact: at)))
            .GroupBy(entry => entry.Subject).Select(group => group.ToArray()).ToArray();
        var subjects = new List<int>();
        while (true)
        {
            if (draw.Below(12) == 0)
            {
                yield return WorldStories.Tell(draw);
                continue;
            }
            // Each subject in turn, so that no fact is rare; two or three of them make a document.
            var sentences = new List<string>();
            if (Openings[draw.Below(Openings.Length)] is { Length: > 0 } opening) sentences.Add(opening);
            for (int i = draw.Below(2); i < 3; i++)
            {
                if (subjects.Count == 0) subjects.AddRange(draw.Order(bySubject.Length));
                var facts = bySubject[subjects[^1]];
                subjects.RemoveAt(subjects.Count - 1);
                foreach (int at in draw.Order(facts.Length))
                {
                    var (_, relation, fact) = facts[at];
                    sentences.Add(Capitalised(relation.State(fact, draw.Below(relation.Statements.Count))));
                }
            }
            yield return string.Join(' ', sentences);
        }
    }

    private static string Capitalised(string sentence) => char.ToUpperInvariant(sentence[0]) + sentence[1..];
}
