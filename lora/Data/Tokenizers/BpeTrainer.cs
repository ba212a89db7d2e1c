using System.Text;
using System.Text.Json;
using System.Text.Json.Nodes;
using CudaLora.Engine;

namespace CudaLora.Lora;

/// <summary>
/// Learns a byte-level BPE vocabulary as GPT-2's is made: text is split by GPT-2's pattern, words become bytes, and the
/// most frequent neighbouring pair is joined until the vocabulary is full. Made for vocabularies of a few thousand
/// tokens: every round counts all distinct words again.
/// </summary>
public static class BpeTrainer
{
    /// <summary>The end-of-text token, id 0.</summary>
    public const string EndOfText = "<|endoftext|>";

    /// <summary>The padding token, id 1.</summary>
    public const string Padding = "<|pad|>";

    private const int Bytes = 256, Specials = 2;

    /// <summary>
    /// Learns the joins, in order. Of equally frequent pairs the one of smaller ids goes first, so the result depends
    /// on nothing but the text.
    /// </summary>
    /// <param name="texts">Training texts.</param>
    /// <param name="vocabSize">Tokens in all: 2 special ones, 256 bytes, and the joins.</param>
    /// <returns>The tokens by id, in the byte alphabet, and the joins as pairs of ids. There are fewer tokens than
    /// asked for when no pair occurs twice.</returns>
    /// <exception cref="UserErrorException">The vocabulary has no room for the bytes.</exception>
    internal static (List<string> Tokens, List<(int Left, int Right)> Joins) Learn(
        IEnumerable<string> texts, int vocabSize)
    {
        if (vocabSize < Specials + Bytes)
            throw new UserErrorException($"[vocab-size] must be at least {Specials + Bytes}, but got {vocabSize}");
        var words = CountWords(texts);
        var tokens = new List<string> { EndOfText, Padding };
        for (int b = 0; b < Bytes; b++) tokens.Add(ByteAlphabet.CharOf((byte)b).ToString());
        var ids = tokens.Select((token, id) => (token, id)).ToDictionary(entry => entry.token, entry => entry.id);
        var joins = new List<(int, int)>();
        var counts = new Dictionary<long, long>();
        while (tokens.Count < vocabSize)
        {
            counts.Clear();
            foreach (var (symbols, count) in words)
                for (int i = 1; i < symbols.Count; i++)
                {
                    long key = BpeMerger.Key(symbols[i - 1], symbols[i]);
                    counts[key] = counts.GetValueOrDefault(key) + count;
                }
            var (best, most) = (0L, 1L);
            foreach (var (key, count) in counts)
                if (count > most || (count == most && most > 1 && key < best)) (best, most) = (key, count);
            if (most < 2) break;
            var pair = ((int)(best >> 32), (int)best);
            joins.Add(pair);
            // Two ways of joining may lead to the same text, which is one token.
            string joined = tokens[pair.Item1] + tokens[pair.Item2];
            if (ids.TryAdd(joined, tokens.Count)) tokens.Add(joined);
            foreach (var (symbols, _) in words) Join(symbols, pair, ids[joined]);
        }
        return (tokens, joins);
    }

    /// <summary>
    /// Learns a vocabulary and writes tokenizer.json and tokenizer_config.json. Every text gets a blank in front
    /// (add_prefix_space), so that a word is the same token at the start of a text and within it.
    /// </summary>
    /// <param name="texts">Training texts.</param>
    /// <param name="vocabSize">Tokens in all.</param>
    /// <param name="folder">Where the files go; made if absent.</param>
    /// <param name="maxLength">The model's context, told in tokenizer_config.json.</param>
    public static Tokenizer Train(IEnumerable<string> texts, int vocabSize, string folder, int maxLength)
    {
        var (tokens, joins) = Learn(texts.Select(text => " " + text), vocabSize);
        Directory.CreateDirectory(folder);
        AtomicFile.WriteText(Path.Combine(folder, "tokenizer.json"), TokenizerJsonText(tokens, joins));
        AtomicFile.WriteText(Path.Combine(folder, "tokenizer_config.json"), ConfigText(maxLength));
        return Tokenizer.Load(folder);
    }

    private static List<(List<int> Symbols, long Count)> CountWords(IEnumerable<string> texts)
    {
        var counts = new Dictionary<string, long>(StringComparer.Ordinal);
        var lookup = counts.GetAlternateLookup<ReadOnlySpan<char>>();
        foreach (string text in texts)
            for (int at = 0; at < text.Length;)
            {
                int end = GptSplit.Gpt2.Next(text, at);
                var word = text.AsSpan(at, end - at);
                lookup[word] = lookup.TryGetValue(word, out long count) ? count + 1 : 1;
                at = end;
            }
        return counts.OrderBy(entry => entry.Key, StringComparer.Ordinal)
            .Select(entry => (Encoding.UTF8.GetBytes(entry.Key).Select(b => Specials + b).ToList(), entry.Value))
            .ToList();
    }

    private static void Join(List<int> symbols, (int Left, int Right) pair, int joined)
    {
        int kept = 0;
        for (int i = 0; i < symbols.Count; i++)
        {
            bool joins = i + 1 < symbols.Count && symbols[i] == pair.Left && symbols[i + 1] == pair.Right;
            symbols[kept++] = joins ? joined : symbols[i];
            if (joins) i++;
        }
        symbols.RemoveRange(kept, symbols.Count - kept);
    }

    private static string TokenizerJsonText(List<string> tokens, List<(int Left, int Right)> joins)
    {
        var vocab = new JsonObject();
        for (int id = 0; id < tokens.Count; id++) vocab[tokens[id]] = id;
        var merges = new JsonArray([.. joins.Select(join => (JsonNode)$"{tokens[join.Left]} {tokens[join.Right]}")]);
        JsonObject ByteLevel() => new()
        {
            ["type"] = "ByteLevel",
            ["add_prefix_space"] = true,
            ["trim_offsets"] = true,
            ["use_regex"] = true,
        };
        return Text(new JsonObject
        {
            ["version"] = "1.0",
            ["truncation"] = null,
            ["padding"] = null,
            ["added_tokens"] = new JsonArray(Special(0, EndOfText), Special(1, Padding)),
            ["normalizer"] = null,
            ["pre_tokenizer"] = ByteLevel(),
            ["post_processor"] = null,
            ["decoder"] = ByteLevel(),
            ["model"] = new JsonObject
            {
                ["type"] = "BPE",
                ["dropout"] = null,
                ["unk_token"] = null,
                ["continuing_subword_prefix"] = null,
                ["end_of_word_suffix"] = null,
                ["fuse_unk"] = false,
                ["byte_fallback"] = false,
                ["ignore_merges"] = false,
                ["vocab"] = vocab,
                ["merges"] = merges,
            },
        });
    }

    private static JsonObject Special(int id, string content) => new()
    {
        ["id"] = id,
        ["content"] = content,
        ["single_word"] = false,
        ["lstrip"] = false,
        ["rstrip"] = false,
        ["normalized"] = false,
        ["special"] = true,
    };

    private static string ConfigText(int maxLength) => Text(new JsonObject
    {
        ["add_prefix_space"] = true,
        ["bos_token"] = null,
        ["chat_template"] = "{% for message in messages %}{% if message['role'] == 'assistant' %}{{ "
            + "message['content'] + eos_token }}{% elif message['role'] == 'system' %}"
            + "{{ message['content'] + '\n\n' }}{% else %}"
            + "{{ '### Instruction:\n' + message['content'] + '\n\n### Response:\n' }}{% endif %}{% endfor %}",
        ["clean_up_tokenization_spaces"] = false,
        ["eos_token"] = EndOfText,
        ["model_max_length"] = maxLength,
        ["pad_token"] = Padding,
        ["tokenizer_class"] = "PreTrainedTokenizerFast",
        ["unk_token"] = null,
    });

    private static readonly JsonSerializerOptions Indented = new() { WriteIndented = true };

    private static string Text(JsonObject json) => json.ToJsonString(Indented).ReplaceLineEndings("\n") + "\n";
}
