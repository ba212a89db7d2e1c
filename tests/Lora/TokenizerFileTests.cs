using CudaLora.Engine;
using CudaLora.Lora;

namespace CudaLora.Tests;

/// <summary>Hand-made tokenizer files: the rules one by one, and what is refused.</summary>
public class TokenizerFileTests
{
    private const string Vocab = """{"a":0,"b":1,"c":2,"ab":3,"abc":4,"Ġ":5,"Ġa":6,"'":7}""";

    private static string Json(string pre = "", string added = "", string model = "", string extra = "") => $$"""
        { "added_tokens": [{{added}}],
          "pre_tokenizer": {{(pre.Length > 0 ? pre : """{"type":"ByteLevel","add_prefix_space":false}""")}},
          "decoder": {"type":"ByteLevel"},
          {{extra}}
          "model": { "type": "BPE", "vocab": {{Vocab}}, "merges": ["a b", ["ab", "c"], "Ġ a"] {{model}} } }
        """;

    private static Tokenizer Load(string json, string? config = null)
    {
        using var folder = new TemporaryFolder();
        if (config != null) folder.Write("tokenizer_config.json", config);
        folder.Write("tokenizer.json", json);
        return Tokenizer.Load(folder.Path);
    }

    [Fact]
    public void Merges_go_by_rank_not_by_length()
    {
        var tokenizer = Load(Json());
        Assert.Equal([4, 5, 3, 6], tokenizer.Encode("abc ab a"));
        Assert.Equal([3, 4, 2], tokenizer.Encode("ababcc"));
    }

    [Fact]
    public void Added_tokens_strip_and_keep_word_borders()
    {
        var tokenizer = Load(Json(added: """
            {"id":8,"content":"<x>","special":true,"lstrip":true,"rstrip":true,"normalized":false},
            {"id":9,"content":"<xy>","special":false,"normalized":false},
            {"id":10,"content":"cc","special":false,"single_word":true,"normalized":false}
            """));
        Assert.Equal([0, 8, 1], tokenizer.Encode("a  <x>  b"));
        Assert.Equal([0, 9, 1], tokenizer.Encode("a<xy>b"));
        Assert.Equal([5, 10, 6], tokenizer.Encode(" cc a"));
        Assert.Equal([0, 2, 2], tokenizer.Encode("acc"));
        Assert.Equal("a<xy>", tokenizer.Decode([0, 8, 9], skipSpecial: true));
        Assert.Equal(11, tokenizer.VocabSize);
        Assert.DoesNotContain(8, tokenizer.Encode("a<x>b", allowSpecial: false));
    }

    [Theory]
    [InlineData(true, new[] { 8, 0 })]
    [InlineData(false, new[] { 0 })]
    public void The_config_decides_about_the_begin_token(bool add, int[] expected)
    {
        var tokenizer = Load(Json(added: """{"id":8,"content":"<s>","special":true}"""),
            $$"""{"bos_token":{"content":"<s>"},"eos_token":null,"add_bos_token":{{(add ? "true" : "false")}}}""");
        Assert.Equal(expected, tokenizer.Encode("a"));
        Assert.Equal([0], tokenizer.Encode("a", addSpecialTokens: false));
        Assert.Equal(8, tokenizer.BosId);
        Assert.Null(tokenizer.EosId);
    }

    [Fact]
    public void The_post_processor_decides_where_the_config_is_silent()
    {
        var tokenizer = Load(Json(added: """{"id":8,"content":"<s>","special":true},{"id":9,"content":"</s>","special":true}""",
            extra: """
                "post_processor": {"type":"TemplateProcessing","single":[{"SpecialToken":{"id":"<s>","type_id":0}},
                  {"Sequence":{"id":"A","type_id":0}},{"SpecialToken":{"id":"</s>","type_id":0}}]},
                """));
        Assert.Equal([8, 0, 9], tokenizer.Encode("a"));
        Assert.Equal((8, 9), (tokenizer.BosId, tokenizer.EosId));
    }

    [Fact]
    public void Characters_outside_the_vocabulary_fall_back_to_bytes_else_to_the_unknown_token()
    {
        const string Head = """{"decoder":{"type":"ByteFallback"},"model":{"type":"BPE","unk_token":"<u>","fuse_unk":true, """;
        var bytes = Load(Head + """ "byte_fallback":true,"vocab":{"<u>":0,"a":1,"<0xC3>":2,"<0xBC>":3},"merges":[]}}""");
        Assert.Equal([1, 2, 3, 1, 0, 1], bytes.Encode("aüa我想a"));
        Assert.Equal("aü", bytes.Decode([1, 2, 3]));
        var none = Load(Head + """ "vocab":{"<u>":0,"a":1},"merges":[]}}""");
        Assert.Equal([1, 0, 1], none.Encode("aüüa"));
    }

    [Fact]
    public void Mistral_style_metaspace_prepends_once()
    {
        var tokenizer = Load("""
            {"added_tokens":[{"id":4,"content":"<s>","special":true}],
             "pre_tokenizer":{"type":"Metaspace","replacement":"▁","prepend_scheme":"first","split":false},
             "decoder":{"type":"Metaspace","replacement":"▁","prepend_scheme":"first"},
             "model":{"type":"BPE","vocab":{"▁":0,"a":1,"▁a":2,"b":3},"merges":["▁ a"]}}
            """);
        Assert.Equal([2, 2, 3], tokenizer.Encode("a ab"));
        Assert.Equal([4, 1], tokenizer.Encode("<s>a"));
        Assert.Equal("a ab", tokenizer.Decode([2, 2, 3]));
    }

    [Theory]
    [InlineData("{", "must be JSON, but line 1")]
    [InlineData("""{"model":{"type":"Unigram"}}""", "model.type must be BPE, but is \"Unigram\"")]
    [InlineData("""{"model":{"type":"BPE"}}""", "model.vocab must be an object")]
    [InlineData("""{"model":{"vocab":{"a":-1}}}""", "model.vocab.a must be an id from 0")]
    [InlineData("""{"model":{"vocab":{"a":2000000000}}}""", "model.vocab.a must be an id from 0")]
    [InlineData("""{"model":{"vocab":{"a":0},"merges":["a b"]}}""", "model.merges[0] must join tokens of the vocabulary")]
    [InlineData("""{"model":{"vocab":{"a":0},"merges":["a"]}}""", "model.merges[0] must be two tokens")]
    [InlineData("""{"normalizer":{"type":"BertNormalizer"},"model":{"vocab":{}}}""", "normalizer.type must be")]
    [InlineData("""{"pre_tokenizer":{"type":"BertPreTokenizer"},"model":{"vocab":{}}}""", "pre_tokenizer.type must be")]
    [InlineData("""{"added_tokens":[{"id":0}],"model":{"vocab":{}}}""", "added_tokens[0].content must be a string, but is absent")]
    [InlineData("""{"model":{"vocab":{"a":0},"unk_token":"\ud800"}}""", "model.unk_token must be a string of whole Unicode")]
    public void A_malformed_file_is_named_with_its_field(string json, string message)
    {
        var error = Assert.Throws<UserErrorException>(() => Load(json));
        Assert.Contains("tokenizer.json: ", error.Message);
        Assert.Contains(message, error.Message);
        Assert.DoesNotContain('\n', error.Message);
    }

    [Fact]
    public void An_empty_folder_and_a_missing_merges_file_are_named()
    {
        using var folder = new TemporaryFolder();
        Assert.Contains("must hold tokenizer.json", Assert.Throws<UserErrorException>(() =>
            Tokenizer.Load(folder.Path)).Message);
        folder.Write("vocab.json", "{}");
        Assert.Contains("merges.txt", Assert.Throws<UserErrorException>(() => Tokenizer.Load(folder.Path)).Message);
        Assert.Contains("no file or folder", Assert.Throws<UserErrorException>(() =>
            Tokenizer.Load("nowhere")).Message);
    }

    [Fact]
    public void A_cut_or_scrambled_SentencePiece_model_is_refused()
    {
        var whole = File.ReadAllBytes(SharedData.Require("tokenizers/llama2/tokenizer.model"));
        using var folder = new TemporaryFolder();
        string file = folder.File("tokenizer.model");
        var random = new Random(1);
        for (int trial = 0; trial < 20; trial++)
        {
            var bytes = whole[..random.Next(whole.Length / 2)];
            for (int i = 0; i < bytes.Length; i += 97) bytes[i] = (byte)random.Next(256);
            File.WriteAllBytes(file, bytes);
            Assert.StartsWith(file, Assert.Throws<UserErrorException>(() => Tokenizer.Load(file)).Message);
        }
    }

    [Fact]
    public void Ids_outside_the_vocabulary_are_named()
    {
        var tokenizer = Load(Json());
        var error = Assert.Throws<ArgumentOutOfRangeException>(() => tokenizer.Decode([8]));
        Assert.Contains("id must be 0 to 7, but got 8", error.Message);
    }
}
