using CudaLora.Engine;
using CudaLora.Lora;

namespace CudaLora.Tests;

public class BpeTrainerTests
{
    [Fact]
    public void The_most_frequent_pair_is_joined_first_and_ties_go_by_id()
    {
        // In " ab ab abc": "ab" 3 times, " a" 3 times (the blank's id is smaller), then the longer ones.
        var (tokens, joins) = BpeTrainer.Learn([" ab ab abc"], 300);
        Assert.Equal(["Ġa", "Ġab"], tokens.Skip(258));
        Assert.Equal([(2 + ' ', 2 + 'a'), (258, 2 + 'b')], joins);
    }

    // The classic example of Sennrich et al. 2016, counted by hand: es 9, est 9, lo 7, low 7.
    [Fact]
    public void The_published_example_gives_the_published_joins()
    {
        string text = string.Concat(Enumerable.Repeat("low.", 5)) + string.Concat(Enumerable.Repeat("lower.", 2))
            + string.Concat(Enumerable.Repeat("newest.", 6)) + string.Concat(Enumerable.Repeat("widest.", 3));
        var (tokens, _) = BpeTrainer.Learn([text], 262);
        Assert.Equal(["es", "est", "lo", "low"], tokens.Skip(258));
    }

    [Fact]
    public void A_trained_tokenizer_returns_every_text_with_a_blank_in_front()
    {
        using var folder = new TemporaryFolder();
        string[] texts = ["The dog saw the other dog.", "The dogs saw a cat.\nAnd the cat saw them."];
        var tokenizer = BpeTrainer.Train(texts, 300, folder.Path, maxLength: 64);
        foreach (string text in texts.Append("Zürich 🚀 \t1,234"))
            Assert.Equal(" " + text, tokenizer.Decode(tokenizer.Encode(text)));
        // A word is the same token at the start and within.
        Assert.Equal(tokenizer.Encode("dog"), tokenizer.Encode("The dog")[^1..]);
        Assert.Equal((0, 1, null), (tokenizer.EosId, tokenizer.PadId, tokenizer.BosId));
        Assert.True(tokenizer.IsSpecial(0));
        Assert.Equal([0], tokenizer.Encode("<|endoftext|>"));
        Assert.Equal("plain", ChatTemplate.For(tokenizer).Name);
        Assert.True(tokenizer.VocabSize <= 300);
    }

    [Fact]
    public void The_result_depends_on_nothing_but_the_text_and_the_size_is_checked()
    {
        using var first = new TemporaryFolder();
        using var second = new TemporaryFolder();
        var texts = WorldCorpus.Documents(1).Take(50).ToArray();
        BpeTrainer.Train(texts, 400, first.Path, 64);
        BpeTrainer.Train(texts.Reverse(), 400, second.Path, 64);
        Assert.Equal(File.ReadAllText(first.File("tokenizer.json")), File.ReadAllText(second.File("tokenizer.json")));
        Assert.Contains("at least 258", Assert.Throws<UserErrorException>(() => BpeTrainer.Learn([], 10)).Message);
    }
}
