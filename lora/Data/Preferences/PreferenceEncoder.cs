using CudaLora.Engine;

namespace CudaLora.Lora;

/// <summary>A response to learn from, with what preference losses know of it beyond its tokens.</summary>
/// <param name="Ids">Prompt and response (T).</param>
/// <param name="Labels">The response's ids, -100 in the prompt (T).</param>
public sealed record ResponseExample(int[] Ids, int[] Labels) : SftExample(Ids, Labels)
{
    /// <summary>How much the chosen response of a pair is better; reward models only.</summary>
    public float Margin { get; init; }

    /// <summary>KTO's judgement.</summary>
    public bool Desirable { get; init; }

    /// <summary>
    /// Log-probability of the response under the reference policy, summed over its tokens, if it was computed before.
    /// </summary>
    public float? ReferenceLogProb { get; set; }
}

/// <summary>Tokenised preference data: groups of <see cref="GroupSize"/> neighbours belong together.</summary>
/// <param name="Examples">Chosen and rejected in turn; or response and unrelated response in turn (KTO).</param>
/// <param name="Truncated">Responses or prompts that were longer than allowed and were cut.</param>
public sealed record PreferenceData(IReadOnlyList<ResponseExample> Examples, int Truncated)
{
    /// <summary>Examples of a group; see <see cref="BatcherOptions.GroupSize"/>.</summary>
    public const int GroupSize = 2;

    /// <summary>Pairs, or labelled responses.</summary>
    public int Count => Examples.Count / GroupSize;
}

/// <summary>
/// Turns preference records into ids and labels. Only the last response is learned. What does not fit loses the
/// beginning of the prompt first, then the end of the response, which keeps at least half of the room; both responses
/// of a pair see the same prompt.
/// </summary>
/// <param name="encoder">Tokenises prompts and responses.</param>
/// <param name="maxLength">Most tokens of prompt and response together.</param>
public sealed class PreferenceEncoder(SftEncoder encoder, int maxLength)
{
    /// <summary>Chosen and rejected in turn.</summary>
    public PreferenceData Pairs(IEnumerable<PreferencePair> pairs)
    {
        var examples = new List<ResponseExample>();
        var truncated = 0;
        foreach (var pair in pairs)
        {
            var (chosen, rejected) = (encoder.EncodeTurn(pair.Chosen), encoder.EncodeTurn(pair.Rejected));
            var longest = Math.Max(chosen.Response.Length, rejected.Response.Length);
            examples.Add(Join(chosen, longest, ref truncated) with { Margin = pair.Margin, Desirable = true });
            examples.Add(Join(rejected, longest, ref truncated) with { Margin = pair.Margin });
        }
        return new PreferenceData(examples, truncated);
    }

    /// <summary>
    /// Each response, followed by its prompt with the response of the next record: what KTO takes the distance between
    /// policy and reference from.
    /// </summary>
    /// <exception cref="UserErrorException">Fewer than two records.</exception>
    public PreferenceData Labels(IReadOnlyList<LabelledResponse> records)
    {
        if (records.Count < 2)
            throw new UserErrorException($"KTO needs at least 2 labelled responses, but got {records.Count}");
        var turns = records.Select(record => encoder.EncodeTurn(record.Example)).ToArray();
        var examples = new List<ResponseExample>();
        var truncated = 0;
        var unused = 0;
        for (var i = 0; i < turns.Length; i++)
        {
            var other = turns[(i + 1) % turns.Length].Response;
            examples.Add(Join(turns[i], turns[i].Response.Length, ref truncated) with
            {
                Desirable = records[i].Desirable,
            });
            examples.Add(Join((turns[i].Prompt, other), other.Length, ref unused));
        }
        return new PreferenceData(examples, truncated);
    }

    private ResponseExample Join((int[] Prompt, int[] Response) turn, int longest, ref int truncated)
    {
        var (prompt, response) = turn;
        if (prompt.Length + longest > maxLength)
        {
            truncated++;
            var room = Math.Max(1, maxLength - Math.Min(longest, Math.Max(maxLength / 2, maxLength - prompt.Length)));
            if (prompt.Length > room)
                prompt = prompt[^room..];
            if (response.Length > maxLength - prompt.Length)
                response = response[..(maxLength - prompt.Length)];
        }
        return new ResponseExample(
            [.. prompt, .. response], [.. Enumerable.Repeat(SftExample.Ignored, prompt.Length), .. response]);
    }
}
