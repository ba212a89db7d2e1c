using CudaLora.Engine;
using CudaLora.Lora;

namespace CudaLora.Tests;

public class DataFileTests
{
    private static IReadOnlyList<DataExample> Load(string text, string name = "data.jsonl", DataOptions? options = null)
    {
        using var folder = new TemporaryFolder();
        return DataFile.Load(folder.Write(name, text), options);
    }

    private static string[] Turns(DataExample example) =>
        ((ChatExample)example).Messages.Select(message => $"{message.Role}: {message.Content}").ToArray();

    [Fact]
    public void Alpaca_lists_and_lines()
    {
        const string First = """{"instruction":"Add.","input":"1 2","output":"3"}""";
        const string Second = """
            {"instruction":"Go on.","output":"Yes.","system":"S","history":[["a","b"]]}
            """;
        foreach (var records in new[] { Load($"[{First},\n{Second}]", "data.json"), Load($"{First}\n\n{Second}\n") })
        {
            Assert.Equal(["user: Add.\n1 2", "assistant: 3"], Turns(records[0]));
            Assert.Equal(["system: S", "user: a", "assistant: b", "user: Go on.", "assistant: Yes."],
                Turns(records[1]));
        }
    }

    [Theory]
    [InlineData("""{"messages":[{"role":"user","content":"q"},{"role":"assistant","content":"a"}]}""")]
    [InlineData("""{"conversations":[{"from":"human","value":"q"},{"from":"gpt","value":"a"}]}""")]
    [InlineData("""{"prompt":[{"role":"user","content":"q"}],"completion":[{"role":"assistant","content":"a"}]}""")]
    public void Conversations_in_their_spellings(string record) => Assert.Equal(["user: q", "assistant: a"],
        Turns(Load(record)[0]));

    [Fact]
    public void Prompts_texts_and_delimited_lines()
    {
        Assert.Equal(new PromptExample("p", "c"), Load("""{"prompt":"p","completion":"c"}""")[0]);
        Assert.Equal(new PromptExample("p", "c"), Load("""{"question":"p","answer":"c"}""")[0]);
        Assert.Equal(new TextExample("t"), Load("""{"text":"t"}""")[0]);
        Assert.Equal(["user: x : y", "assistant: z . "[..^1]], Turns(Load("x : y||z . \nq||r\n", "e2e.txt")[0]));
        Assert.Equal(["user: x", "assistant: y"],
            Turns(Load("x\ty\n", "f.tsv", new DataOptions { Format = DataFormat.Delimited, Delimiter = "\t" })[0]));
        Assert.Equal(DataFormat.Delimited, DataOptions.ParseFormat("e2e"));
    }

    [Fact]
    public void Documents_by_marker_by_blank_line_or_whole()
    {
        Assert.Equal([new TextExample("one\ntwo"), new TextExample("three")],
            Load("one\ntwo\n<|endoftext|>\nthree\n<|endoftext|>\n", "a.txt"));
        Assert.Equal([new TextExample("one"), new TextExample("two")], Load("one<|endoftext|>two", "a.txt"));
        Assert.Equal([new TextExample("one\ntwo"), new TextExample("three")],
            Load("one\ntwo\n\n\nthree\n", "a.txt", new DataOptions { Separator = "\n\n" }));
        Assert.Equal([new TextExample("one\n\ntwo\n")], Load("one\n\ntwo\n", "a.txt"));
    }

    [Theory]
    [InlineData("data.jsonl", "{\"text\":\"a\"}\n{\"text\":", "line 2 must be one JSON record, but byte 9")]
    [InlineData("data.json", "[{\"text\":\"a\"},\n{\"text\" 3}]", "must be a JSON list of records, but line 2, byte 9")]
    [InlineData("data.jsonl", "{\"instruction\":\"a\"}", "line 1, output must be a string, but is absent")]
    [InlineData("data.json", "[{\"instruction\":\"a\",\"output\":\"b\"},{\"instruction\":7,\"output\":\"b\"}]",
        "record 2, instruction must be a string, but is 7")]
    [InlineData("data.jsonl", "{\"messages\":[{\"role\":\"user\"}]}", "line 1, messages[0].content must be a string")]
    [InlineData("data.jsonl", "{\"conversations\":[{\"value\":\"x\"}]}",
        "line 1, conversations[0].role must be a string")]
    [InlineData("data.jsonl", "{\"a\":1,\"b\":2}",
        "line 1 must have instruction and output, messages, conversations, prompt and completion, or text, but has a, b")]
    [InlineData("data.jsonl", "7", "line 1 must be an object, but is 7")]
    [InlineData("data.jsonl", "", "must hold at least one record, but is empty")]
    [InlineData("data.json", "[]", "must hold at least one record, but is empty")]
    [InlineData("data.txt", " \n", "must hold at least one record, but is empty")]
    public void What_is_wrong_is_named_with_file_and_place(string name, string text, string message)
    {
        var error = Assert.Throws<UserErrorException>(() => Load(text, name));
        Assert.Contains($"{name}: ", error.Message);
        Assert.Contains(message, error.Message);
        Assert.DoesNotContain('\n', error.Message);
    }

    [Fact]
    public void A_line_without_the_delimiter_and_a_missing_file_are_named()
    {
        var error = Assert.Throws<UserErrorException>(() =>
            Load("a||b\nc\n", "e.txt", new DataOptions { Format = DataFormat.Delimited }));
        Assert.Contains("line 2 must be prompt||response", error.Message);
        Assert.Contains("does not exist", Assert.Throws<UserErrorException>(() =>
            DataFile.Load("nowhere.json")).Message);
        Assert.Contains("e2e", Assert.Throws<UserErrorException>(() => DataOptions.ParseFormat("csv")).Message);
    }

    [Theory]
    [InlineData("instruct/alpaca_en_demo.json", 999, typeof(ChatExample))]
    [InlineData("instruct/alpaca_zh_demo.json", 1000, typeof(ChatExample))]
    [InlineData("instruct/identity.json", 91, typeof(ChatExample))]
    [InlineData("instruct/rasbt_instruction-data.json", 1100, typeof(ChatExample))]
    [InlineData("instruct/gsm8k_test.jsonl", 1319, typeof(PromptExample))]
    [InlineData("nlg/e2e/valid.txt", 4672, typeof(ChatExample))]
    [InlineData("corpora/tinyshakespeare.txt", 1, typeof(TextExample))]
    public void Real_files(string file, int count, Type kind)
    {
        var records = DataFile.Load(SharedData.Require(file));
        Assert.Equal(count, records.Count);
        Assert.All(records, record => Assert.IsType(kind, record));
    }
}
