using CudaLora.Engine;
using CudaLora.Lora;

namespace CudaLora.Tests.Lora;

public sealed class PreferenceFileTests : IDisposable
{
    private readonly TemporaryFolder folder = new();

    public void Dispose() => folder.Dispose();

    [Theory]
    [InlineData("""{"prompt": "Hi", "chosen": "yes", "rejected": "no"}""", "plain")]
    [InlineData("""{"instruction": "Hi", "input": "", "output": "x", "chosen": "yes", "rejected": "no"}""", "chat")]
    [InlineData("""{"instruction": "Hi", "output": ["yes", "no"]}""", "chat")]
    [InlineData(
        """{"conversations": [{"from": "human", "value": "Hi"}], "chosen": {"from": "gpt", "value": "yes"}, "rejected": {"from": "gpt", "value": "no"}}""",
        "chat")]
    [InlineData(
        """{"prompt": [{"role": "user", "content": "Hi"}], "chosen": [{"role": "assistant", "content": "yes"}], "rejected": [{"role": "assistant", "content": "no"}]}""",
        "chat")]
    [InlineData(
        """{"chosen": [{"role": "user", "content": "Hi"}, {"role": "assistant", "content": "yes"}], "rejected": [{"role": "user", "content": "Hi"}, {"role": "assistant", "content": "no"}]}""",
        "chat")]
    [InlineData(
        """{"chosen": "\n\nHuman: Hi\n\nAssistant: yes", "rejected": "\n\nHuman: Hi\n\nAssistant: no"}""", "chat")]
    public void Pairs_AreReadInEveryForm(string record, string kind)
    {
        foreach (var text in (string[])[record, $"[\n{record},\n{record}]"])
        {
            var pairs = PreferenceFile.LoadPairs(folder.Write("pairs.json", text));
            Assert.Equal(text[0] == '[' ? 2 : 1, pairs.Count);
            Assert.Equal("yes", SftEncoder.Reference(pairs[0].Chosen));
            Assert.Equal("no", SftEncoder.Reference(pairs[0].Rejected));
            if (kind == "plain")
                Assert.Equal(new PromptExample("Hi", "yes"), pairs[0].Chosen);
            else
                Assert.Equal(
                    [new ChatMessage("user", "Hi"), new ChatMessage("assistant", "no")],
                    ((ChatExample)pairs[0].Rejected).Messages);
        }
    }

    [Fact]
    public void TranscriptsKeepAllTurns_AndMarginsAreRead()
    {
        var pairs = PreferenceFile.LoadPairs(folder.Write(
            "hh.jsonl",
            """
            {"chosen": "\n\nHuman: a\n\nAssistant: b\n\nHuman: c\n\nAssistant: d", "rejected": "\n\nHuman: a\n\nAssistant: b\n\nHuman: c\n\nAssistant: e", "margin": 1.5}
            {"chosen": "\n\nHuman: a\n\nAssistant:", "rejected": "\n\nHuman: a\n\nAssistant: e"}
            """));
        Assert.Equal(
            ["a", "b", "c", "d"], ((ChatExample)Assert.Single(pairs).Chosen).Messages.Select(m => m.Content));
        Assert.Equal(1.5f, pairs[0].Margin);
    }

    [Theory]
    [InlineData("""{"prompt": "p", "completion": "c", "label": true}""", true)]
    [InlineData("""{"instruction": "p", "output": "c", "kto_tag": false}""", false)]
    [InlineData(
        """{"messages": [{"role": "user", "content": "p"}, {"role": "assistant", "content": "c"}], "label": false}""",
        false)]
    public void Labels_AreReadInEveryForm(string record, bool desirable)
    {
        var labelled = Assert.Single(PreferenceFile.LoadLabels(folder.Write("kto.jsonl", record)));
        Assert.Equal(desirable, labelled.Desirable);
        Assert.Equal("c", SftEncoder.Reference(labelled.Example));
    }

    [Fact]
    public void PairsAreTwoLabels_AndPromptsKeepTheirAnswersAsReferences()
    {
        var labels = PreferenceFile.LoadLabels(
            folder.Write("pairs.jsonl", """{"prompt": "p", "chosen": "good", "rejected": "bad"}"""));
        Assert.Equal([true, false], labels.Select(l => l.Desirable));
        var prompts = PreferenceFile.LoadPrompts(folder.Write(
            "prompts.jsonl",
            """
            {"prompt": "p"}
            {"instruction": "q", "input": "", "output": "answer"}
            {"messages": [{"role": "user", "content": "r"}, {"role": "assistant", "content": "said"}]}
            """));
        Assert.Equal(["p", "q", "r"], prompts.Select(p => p.Text));
        Assert.Equal([null, "answer", "said"], prompts.Select(p => p.Reference));
    }

    [Theory]
    [InlineData(
        """{"prompt": "p", "chosen": "a"}""",
        "line 2, rejected must be a text, a message or a list of messages, but is absent")]
    [InlineData(
        """{"prompt": "p", "chosen": 3, "rejected": "b"}""",
        "line 2, chosen must be a text, a message or a list of messages, but is 3")]
    [InlineData(
        """{"chosen": "a", "rejected": "b"}""",
        "line 2, chosen must be a response to a prompt, but there is no prompt, or a transcript that "
        + "begins with '\\n\\nHuman:', but is \"a\"")]
    [InlineData(
        """{"prompt": "p", "chosen": [{"role": "user", "content": "x"}], "rejected": "b"}""",
        "line 2, chosen must be a message of the assistant, or a list that ends with one, but is a list")]
    [InlineData(
        """{"prompt": "p", "chosen": "a", "rejected": "b", "margin": "much"}""",
        "line 2, margin must be a number, but is \"much\"")]
    [InlineData("{", "line 2 must be one JSON record, but byte 2 is not valid")]
    public void MalformedPairs_NameFileLineAndField(string record, string message)
    {
        var file = folder.Write("bad.jsonl", """{"prompt": "p", "chosen": "a", "rejected": "b"}""" + "\n" + record);
        var error = Assert.Throws<UserErrorException>(() => PreferenceFile.LoadPairs(file));
        Assert.Equal($"{file}: {message}", error.Message);
    }

    [Fact]
    public void MissingLabelsAndEmptyFiles_AreRefused()
    {
        var file = folder.Write("kto.jsonl", """{"prompt": "p", "completion": "c"}""");
        Assert.Equal(
            $"{file}: line 1, label must be true or false, but is absent",
            Assert.Throws<UserErrorException>(() => PreferenceFile.LoadLabels(file)).Message);
        file = folder.Write("empty.json", "[]");
        Assert.Contains(
            "must hold at least one record",
            Assert.Throws<UserErrorException>(() => PreferenceFile.LoadPairs(file)).Message, StringComparison.Ordinal);
    }

    [Fact]
    public void OnlyTheLastAnswerIsLearned_AndCutsKeepTheSamePrompt()
    {
        var tokenizer = TinyTokenizer.Make();
        var encoder = new SftEncoder(tokenizer, ChatTemplate.Named("plain", tokenizer));
        ChatMessage[] before = [new("user", "one"), new("assistant", "two"), new("user", "three")];
        var pair = new PreferencePair(
            new ChatExample([.. before, new("assistant", "good")]),
            new ChatExample([.. before, new("assistant", "bad")]));
        var whole = new PreferenceEncoder(encoder, 500).Pairs([pair]);
        var (prompt, response) = encoder.EncodeTurn(pair.Chosen);
        Assert.Equal(encoder.EncodePrompt(before), prompt);
        Assert.Equal("good", tokenizer.Decode(response, skipSpecial: true));
        Assert.Equal(tokenizer.EosId, response[^1]);
        Assert.Equal([.. prompt, .. response], whole.Examples[0].Ids);
        Assert.Equal(response.Length, whole.Examples[0].LabelCount);
        Assert.Equal(0, whole.Truncated);

        var cut = new PreferenceEncoder(encoder, 20).Pairs([pair]);
        Assert.Equal(2, cut.Truncated);
        Assert.Equal(20, cut.Examples[0].Length);
        Assert.Equal(prompt[^15..], cut.Examples[0].Ids[..15]);
        Assert.Equal(prompt[^15..], cut.Examples[1].Ids[..15]);
        Assert.Equal(response, cut.Examples[0].Ids[15..]);
        Assert.Equal(response[..2], new PreferenceEncoder(encoder, 4).Pairs([pair]).Examples[0].Ids[2..]);
    }

    [Fact]
    public void KtoGetsEachPromptWithTheNextResponseToo()
    {
        var tokenizer = TinyTokenizer.Make();
        var encoder = new PreferenceEncoder(
            new SftEncoder(tokenizer, ChatTemplate.Named("plain", tokenizer)), 100);
        LabelledResponse[] records =
        [
            new(new PromptExample("a", "1"), true), new(new PromptExample("b", "2"), false),
            new(new PromptExample("c", "3"), true),
        ];
        var data = encoder.Labels(records);
        Assert.Equal(3, data.Count);
        Assert.Equal(
            ["a1", "a2", "b2", "b3", "c3", "c1"],
            data.Examples.Select(e => tokenizer.Decode(e.Ids, skipSpecial: true)));
        Assert.Equal([true, false, true], data.Examples.Where((_, i) => i % 2 == 0).Select(e => e.Desirable));
        Assert.Throws<UserErrorException>(() => encoder.Labels(records[..1]));
    }

    [Fact]
    public void GroupsStayTogetherInEveryOrder()
    {
        var examples = Enumerable.Range(0, 12)
            .Select(i => new ResponseExample([1, i], [SftExample.Ignored, i])).ToArray();
        var batcher = new Batcher(examples, new BatcherOptions { BatchSize = 4, GroupSize = 2 });
        Assert.Equal((6, 2), (batcher.RowsPerEpoch, batcher.BatchesPerEpoch));
        var batch = new Batch();
        var firsts = new List<int>();
        foreach (var rows in (int[])[8, 4])
        {
            batcher.Next(batch);
            Assert.Equal((rows, rows), (batch.B, batch.Examples.Count));
            for (var i = 0; i < rows; i += 2)
            {
                Assert.Equal(batch.Examples[i].Ids[1] + 1, batch.Examples[i + 1].Ids[1]);
                Assert.Equal(batch.Examples[i].Ids[1], batch.Ids[(i * batch.T) + 1]);
                firsts.Add(batch.Examples[i].Ids[1]);
            }
        }
        Assert.NotEqual([0, 2, 4, 6, 8, 10], firsts);
        Assert.Equal([0, 2, 4, 6, 8, 10], firsts.Order());
    }

    [Theory]
    [InlineData("preference/dpo_en_demo.json", 300)]
    [InlineData("preference/rasbt_instruction-data-with-preference.json", 1100)]
    public void RealPairs_AreRead(string file, int count) =>
        Assert.Equal(count, PreferenceFile.LoadPairs(SharedData.Require(file)).Count);

    [Fact]
    public void RealLabels_AreRead()
    {
        var labels = PreferenceFile.LoadLabels(SharedData.Require("preference/kto_en_demo.json"));
        Assert.Equal(300, labels.Count);
        Assert.Contains(labels, l => l.Desirable);
        Assert.Contains(labels, l => !l.Desirable);
    }
}
