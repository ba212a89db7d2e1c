using System.Text;
using System.Text.Json;
using System.Text.RegularExpressions;
using CudaLora.Lora;

namespace CudaLora.Tests;

/// <summary>Ids against lists that Hugging Face's tokenizers made (shared/data/tokenizers/expected_ids,
/// golden).</summary>
public class TokenizerTests
{
    [Theory]
    [InlineData("gpt2", "gpt-2")]
    [InlineData("gpt2/vocab.json", "gpt-2")]
    [InlineData("qwen2", "qwen2")]
    [InlineData("llama2", "llama-spm")]
    public void Ids_equal_the_published_lists(string folder, string list)
    {
        var tokenizer = Tokenizer.Load(SharedData.Require($"tokenizers/{folder}"));
        var inputs = File.ReadAllText(SharedData.Require($"tokenizers/expected_ids/ggml-vocab-{list}.gguf.inp"))
            .Split("\n__ggml_vocab_test__\n");
        var expected = File.ReadAllText(SharedData.Require($"tokenizers/expected_ids/ggml-vocab-{list}.gguf.out"))
            .Split('\n');
        Assert.Equal(47, inputs.Length);
        Assert.Equal(47, expected.Length);
        for (int i = 0; i < inputs.Length; i++)
        {
            var ids = tokenizer.Encode(inputs[i], addSpecialTokens: false);
            Assert.Equal(expected[i].Trim(), string.Join(' ', ids));
            // Qwen composes (NFC), so its text may come back composed.
            Assert.Equal(list == "qwen2" ? Nfc.Compose(inputs[i]) : inputs[i], tokenizer.Decode(ids));
        }
    }

    [Fact]
    public void TinyStories_ids_equal_the_goldens()
    {
        var tokenizer = Tokenizer.Load(SharedData.Require("models/TinyStories-656K"));
        var greedy = Golden("greedy");
        Assert.Equal(Ints(greedy.GetProperty("prompt_ids")),
            tokenizer.Encode(greedy.GetProperty("prompt").GetString()!));
        Assert.Equal(greedy.GetProperty("text").GetString(), tokenizer.Decode(Ints(greedy.GetProperty("tokens"))));

        var nll = Golden("nll");
        foreach (var story in nll.GetProperty("stories").EnumerateArray())
        {
            var ids = Ints(story.GetProperty("tokens"));
            string text = tokenizer.Decode(ids, skipSpecial: true);
            Assert.Equal(ids.Where(id => id > 2), tokenizer.Encode(text).Where(id => id > 2));
        }
        Assert.Equal((1, 2, 0, 0, 2048),
            (tokenizer.BosId, tokenizer.EosId, tokenizer.PadId, tokenizer.UnkId, tokenizer.VocabSize));
    }

    // An independent implementation as the oracle, on two megabytes of text.
    [Fact]
    public void Gpt2_ids_equal_Microsofts_on_a_corpus()
    {
        string folder = SharedData.Require("tokenizers/gpt2");
        string text = File.ReadAllText(SharedData.Require("corpora/tinyshakespeare.txt"))
            + File.ReadAllText(SharedData.Require("instruct/alpaca_zh_demo.json"))[..200_000];
        var ours = Tokenizer.Load(folder).Encode(text, addSpecialTokens: false, allowSpecial: false);
        var options = new Microsoft.ML.Tokenizers.BpeOptions(
            Path.Combine(folder, "vocab.json"), Path.Combine(folder, "merges.txt"))
        {
            ByteLevel = true,
            PreTokenizer = new Microsoft.ML.Tokenizers.RegexPreTokenizer(new Regex(GptSplit.Gpt2Pattern), null),
        };
        var theirs = Microsoft.ML.Tokenizers.BpeTokenizer.Create(options).EncodeToIds(text);
        Assert.Equal(theirs, ours);
    }

    [Theory]
    [InlineData("tokenizers/gpt2")]
    [InlineData("tokenizers/qwen2")]
    [InlineData("tokenizers/llama2")]
    [InlineData("models/TinyStories-656K")]
    public void Streaming_gives_the_same_text_as_decoding(string folder)
    {
        var tokenizer = Tokenizer.Load(SharedData.Require(folder));
        string text = folder.Contains("TinyStories") ? "Once upon a time, there was a dog."
            : "Führer 🚀 我想 y'all\n  två";
        var ids = tokenizer.Encode(text);
        var stream = tokenizer.Stream(skipSpecial: true);
        var joined = new StringBuilder();
        foreach (int id in ids)
        {
            string part = stream.Append(id);
            Assert.DoesNotContain('\uFFFD', part);
            joined.Append(part);
        }
        Assert.Equal("", stream.Finish());
        Assert.Equal(text, joined.ToString());
        Assert.Equal(text, tokenizer.Decode(ids, skipSpecial: true));
    }

    [Fact]
    public void A_continued_stream_keeps_the_first_blank()
    {
        var tokenizer = Tokenizer.Load(SharedData.Require("tokenizers/llama2"));
        int hello = tokenizer.Encode("Hello", addSpecialTokens: false)[0];
        Assert.Equal(" Hello", tokenizer.Stream(continues: true).Append(hello));
        Assert.Equal("Hello", tokenizer.Stream().Append(hello));
    }

    [Fact]
    public void Llama2_reads_control_pieces_only_where_allowed()
    {
        var tokenizer = Tokenizer.Load(SharedData.Require("tokenizers/llama2"));
        Assert.Equal([1, 1, 15043, 2], tokenizer.Encode("<s>Hello</s>"));
        Assert.DoesNotContain(2, tokenizer.Encode("<s>Hello</s>", allowSpecial: false)[1..]);
        Assert.Equal("Hello", tokenizer.Decode([1, 15043, 2], skipSpecial: true));
        Assert.Equal("<s> Hello</s>", tokenizer.Decode([1, 15043, 2]));
    }

    [Fact]
    public void Qwen2_takes_special_tokens_and_template_from_its_config()
    {
        var tokenizer = Tokenizer.Load(SharedData.Require("tokenizers/qwen2"));
        Assert.Equal([151644, 872, 198, 151645], tokenizer.Encode("<|im_start|>user\n<|im_end|>"));
        Assert.Equal((151643, 151643, null, 151646), (tokenizer.EosId, tokenizer.PadId, tokenizer.BosId,
            tokenizer.VocabSize));
        Assert.Contains("<|im_start|>", tokenizer.ChatTemplate);
        Assert.True(tokenizer.IsSpecial(151644));
        // NFC: a decomposed letter gives the ids of the composed one.
        Assert.Equal(tokenizer.Encode("Ti\u1ebfng Vi\u1ec7t \uac01"),
            tokenizer.Encode("Tie\u0302\u0301ng Vie\u0323\u0302t \u1100\u1161\u11a8"));
    }

    [Fact]
    public void Saved_files_load_to_the_same_tokenizer()
    {
        var tokenizer = Tokenizer.Load(SharedData.Require("models/TinyStories-656K"));
        using var folder = new TemporaryFolder();
        tokenizer.Save(folder.Path);
        var again = Tokenizer.Load(folder.Path);
        Assert.Equal(tokenizer.Encode("One day, Tom ran."), again.Encode("One day, Tom ran."));
        Assert.Equal(tokenizer.EosId, again.EosId);
    }

    private static JsonElement Golden(string name) =>
        JsonDocument.Parse(File.ReadAllText(SharedData.Require($"golden/tinystories656k_{name}.json"))).RootElement;

    private static int[] Ints(JsonElement list) => list.EnumerateArray().Select(item => item.GetInt32()).ToArray();
}
