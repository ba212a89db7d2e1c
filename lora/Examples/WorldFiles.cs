using System.Text;
using System.Text.Encodings.Web;
using System.Text.Json;
using System.Text.Json.Nodes;
using CudaLora.Engine;

namespace CudaLora.Lora;

/// <summary>
/// Writes all that the bundled example is made from:
/// <code>
/// corpus.txt            documents, separated by &lt;|endoftext|&gt;, for pretraining
/// corpus_valid.txt      the same world in documents drawn with another seed
/// train.jsonl           instructions to learn, alpaca records
/// eval.jsonl            instructions held out
/// base/                 tokenizer.json, tokenizer_config.json, and config.json: the shape of the model to pretrain, a
///                       Llama of about two million parameters
/// </code>
/// The same arguments always write the same bytes.
/// </summary>
public static class WorldFiles
{
    /// <summary>Context of the base model, in tokens.</summary>
    public const int Context = 256;

    private const int ValidationSeed = 90001;

    private static readonly JsonSerializerOptions Readable =
        new() { WriteIndented = true, Encoder = JavaScriptEncoder.UnsafeRelaxedJsonEscaping };

    /// <summary>Writes the files.</summary>
    /// <param name="folder">Made if absent.</param>
    /// <param name="documents">Documents of the corpus, of about 42 tokens each.</param>
    /// <param name="vocabSize">Tokens of the vocabulary.</param>
    /// <param name="seed">Seed of everything.</param>
    public static void Write(string folder, int documents = 20_000, int vocabSize = 1280, int seed = 1)
    {
        string model = Path.Combine(folder, "base");
        Directory.CreateDirectory(model);
        var corpus = WorldCorpus.Documents(seed).Take(documents).ToArray();
        AtomicFile.WriteText(Path.Combine(folder, "corpus.txt"), Joined(corpus));
        AtomicFile.WriteText(Path.Combine(folder, "corpus_valid.txt"),
            Joined(WorldCorpus.Documents(ValidationSeed).Take(200)));
        var (train, held) = WorldInstructions.Make(seed);
        AtomicFile.WriteText(Path.Combine(folder, "train.jsonl"), Records(train));
        AtomicFile.WriteText(Path.Combine(folder, "eval.jsonl"), Records(held));
        // The marker of the prompt is a word of the vocabulary too; the model has not seen it before fine-tuning.
        string[] markers = [.. Enumerable.Repeat(" ### Instruction:\n\n\n### Response:\n", documents / 100 + 2)];
        var texts = corpus.Concat(train.Select(item => item.Instruction)).Concat(markers);
        var tokenizer = BpeTrainer.Train(texts, vocabSize, model, Context);
        AtomicFile.WriteText(Path.Combine(model, "config.json"), Config(tokenizer));
    }

    private static string Joined(IEnumerable<string> documents)
    {
        var text = new StringBuilder();
        foreach (string document in documents) text.Append($"{document}\n{BpeTrainer.EndOfText}\n");
        return text.ToString();
    }

    private static string Records(IEnumerable<WorldInstructions.Item> items) => string.Concat(items.Select(item =>
        new JsonObject { ["instruction"] = item.Instruction, ["input"] = "", ["output"] = item.Output }.ToJsonString()
        + "\n"));

    private static string Config(Tokenizer tokenizer) => new JsonObject
    {
        ["architectures"] = new JsonArray("LlamaForCausalLM"),
        ["attention_bias"] = false,
        ["attention_dropout"] = 0.0,
        ["bos_token_id"] = null,
        ["eos_token_id"] = tokenizer.EosId,
        ["head_dim"] = 32,
        ["hidden_act"] = "silu",
        ["hidden_size"] = 192,
        ["initializer_range"] = 0.02,
        ["intermediate_size"] = 512,
        ["max_position_embeddings"] = Context,
        ["mlp_bias"] = false,
        ["model_type"] = "llama",
        ["num_attention_heads"] = 6,
        ["num_hidden_layers"] = 4,
        ["num_key_value_heads"] = 6,
        ["pad_token_id"] = tokenizer.PadId,
        ["rms_norm_eps"] = 1e-5,
        ["rope_scaling"] = null,
        ["rope_theta"] = 10000.0,
        ["tie_word_embeddings"] = true,
        ["torch_dtype"] = "float32",
        ["use_cache"] = true,
        // A multiple of 64 keeps the output matrix aligned.
        ["vocab_size"] = (tokenizer.VocabSize + 63) / 64 * 64,
    }.ToJsonString(Readable).ReplaceLineEndings("\n") + "\n";
}
