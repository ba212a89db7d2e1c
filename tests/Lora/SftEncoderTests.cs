using CudaLora.Engine;
using CudaLora.Lora;

namespace CudaLora.Tests;

/// <summary>Encoding with a tokenizer of one id per byte, so that every length can be counted by hand.</summary>
public class SftEncoderTests
{
    private static readonly Tokenizer Bytes = TinyTokenizer.Make();
    private static readonly int Eos = 256;

    private static SftEncoder Encoder(int maxLength = 1000, bool learnPrompt = false) =>
        new(Bytes, ChatTemplate.Named("plain", Bytes),
            new SftOptions { MaxLength = maxLength, LearnPrompt = learnPrompt });

    private static ChatExample Ask(string question, string answer) =>
        new([new(ChatMessage.User, question), new(ChatMessage.Assistant, answer)]);

    [Fact]
    public void Only_the_response_and_its_end_are_learned()
    {
        var example = Encoder().Encode(Ask("Why?", "So."), out bool cut).Single();
        Assert.False(cut);
        Assert.Equal("### Instruction:\nWhy?\n\n### Response:\nSo.<eos>", Bytes.Decode(example.Ids));
        int learned = example.Labels.Count(label => label != -100);
        Assert.Equal(4, learned);
        Assert.Equal(example.Ids[^4..], example.Labels[^4..]);
        Assert.Equal([(int)'S', 'o', '.', Eos], example.Ids[^4..]);
        var all = Encoder(learnPrompt: true).Encode(Ask("Why?", "So."), out _).Single();
        Assert.Equal(all.Ids, all.Labels);
    }

    [Fact]
    public void Every_assistant_turn_is_learned()
    {
        var example = Encoder().Encode(new ChatExample([.. Ask("a", "B").Messages, .. Ask("c", "D").Messages]),
            out _).Single();
        Assert.Equal([(int)'B', Eos, 'D', Eos], example.Labels.Where(label => label != -100));
    }

    [Fact]
    public void The_prompt_in_training_is_the_prompt_in_generation()
    {
        var record = Ask("Why?", "So.");
        var prompt = Encoder().EncodePrompt(record);
        Assert.Equal(Encoder().Encode(record, out _).Single().Ids[..prompt.Length], prompt);
        Assert.Equal("So.", SftEncoder.Reference(record));
        Assert.EndsWith("### Response:\n", Bytes.Decode(prompt));
    }

    [Fact]
    public void A_long_question_loses_its_end_but_not_the_marker_of_the_answer()
    {
        var example = Encoder(60).Encode(Ask(new string('q', 100), "So."), out bool cut).Single();
        Assert.True(cut);
        Assert.Equal(60, example.Length);
        string text = Bytes.Decode(example.Ids);
        Assert.StartsWith("### Instruction:\nqqq", text);
        Assert.EndsWith("q\n\n### Response:\nSo.<eos>", text);
    }

    [Fact]
    public void A_long_answer_loses_its_end_and_the_end_token()
    {
        var example = Encoder(100).Encode(Ask("Why?", new string('s', 200)), out _).Single();
        Assert.Equal(100, example.Length);
        Assert.Equal("### Instruction:\nWhy?\n\n### Response:\n" + new string('s', 63), Bytes.Decode(example.Ids));
    }

    [Fact]
    public void Both_too_long_are_cut_in_proportion()
    {
        var example = Encoder(120).Encode(Ask(new string('q', 166), new string('s', 198)), out _).Single();
        Assert.Equal(120, example.Length);
        Assert.Equal(60, example.Labels.Count(label => label != -100));
        Assert.Contains("\n\n### Response:\nsss", Bytes.Decode(example.Ids));
    }

    [Fact]
    public void Later_turns_that_do_not_fit_are_left_out()
    {
        var talk = new ChatExample([.. Ask("a", "B").Messages, .. Ask(new string('c', 100), "D").Messages]);
        var example = Encoder(60).Encode(talk, out bool cut).Single();
        Assert.True(cut);
        Assert.Equal("### Instruction:\na\n\n### Response:\nB<eos>", Bytes.Decode(example.Ids));
    }

    [Fact]
    public void Documents_are_split_and_prompts_joined_as_they_are()
    {
        var pieces = Encoder(4).Encode(new TextExample("abcdefghij"), out bool cut);
        Assert.False(cut);
        Assert.Equal(["abcd", "efgh", "ij<eos>"], pieces.Select(piece => Bytes.Decode(piece.Ids)));
        Assert.All(pieces, piece => Assert.Equal(piece.Ids, piece.Labels));
        var joined = Encoder().Encode(new PromptExample("ab", "cd"), out _).Single();
        Assert.Equal("abcd<eos>", Bytes.Decode(joined.Ids));
        Assert.Equal([-100, -100, 'c', 'd', Eos], joined.Labels);
        var cutJoined = Encoder(4, learnPrompt: true).Encode(new PromptExample("ab", "cdef"), out _).Single();
        Assert.Equal("abcd", Bytes.Decode(cutJoined.Ids));
    }

    [Fact]
    public void Counts_are_reported_and_an_unusable_set_is_refused()
    {
        var data = Encoder(60).EncodeAll([Ask("a", "b"), Ask(new string('q', 100), "b"), new TextExample("")]);
        Assert.Equal((2, 1, 1), (data.Examples.Count, data.Truncated, data.Dropped));
        Assert.Equal(60, data.LongestLength);
        var error = Assert.Throws<UserErrorException>(() => Encoder().EncodeAll([new TextExample("")]));
        Assert.Contains("none of 1 has", error.Message);
    }

    [Fact]
    public void Real_alpaca_with_the_real_tokenizer()
    {
        var tokenizer = Tokenizer.Load(SharedData.Require("models/TinyStories-656K"));
        var encoder = new SftEncoder(tokenizer, ChatTemplate.For(tokenizer), new SftOptions { MaxLength = 512 });
        var records = DataFile.Load(SharedData.Require("instruct/alpaca_en_demo.json"));
        var data = encoder.EncodeAll(records);
        Assert.Equal(records.Count, data.Examples.Count);
        Assert.All(data.Examples, example =>
        {
            Assert.InRange(example.Length, 2, 512);
            Assert.Equal(1, example.Ids[0]);
            Assert.Equal(-100, example.Labels[0]);
            Assert.True(example.LabelCount > 0);
        });
        Assert.Equal(2, data.Examples.First(example => example.Length < 512).Ids[^1]);
    }
}
