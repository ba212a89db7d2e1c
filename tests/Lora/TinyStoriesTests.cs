using System.Text.Json;
using CudaLora.Engine;
using CudaLora.Lora;

namespace CudaLora.Tests.Lora;

/// <summary>The real TinyStories-656K against a float64 reference that shares no code with the engine.</summary>
public class TinyStoriesTests
{
    private static CausalLM Model() => CausalLM.Load(SharedData.Require("models/TinyStories-656K"));

    private static JsonElement Golden(string file) =>
        JsonDocument.Parse(File.ReadAllText(SharedData.Require("golden/" + file))).RootElement;

    private static int[] Ints(JsonElement list) => list.EnumerateArray().Select(e => e.GetInt32()).ToArray();

    private static double[] Reals(JsonElement list) => list.EnumerateArray().Select(e => e.GetDouble()).ToArray();

    [Fact]
    public void GreedyTokensAreEqual()
    {
        using var model = Model();
        var golden = Golden("tinystories656k_greedy.json");
        int[] prompt = Ints(golden.GetProperty("prompt_ids")), expected = Ints(golden.GetProperty("tokens"));
        var streamed = new List<int>();
        var options = new SamplingOptions { Temperature = 0, MaxNewTokens = expected.Length - prompt.Length };
        var result = model.Generate(prompt, options, streamed.Add);
        // The reference keeps the stop id.
        var text = expected[prompt.Length..];
        if (text[^1] == 2) text = text[..^1];
        Assert.Equal(text, result.Tokens);
        Assert.Equal(result.Tokens, streamed);
    }

    [Fact]
    public void LogitsAreEqual()
    {
        using var model = Model();
        using var scope = TensorScope.Begin();
        var golden = Golden("tinystories656k_greedy.json");
        var prompt = Ints(golden.GetProperty("prompt_ids"));
        var logits = model.Forward(Tensor.From(prompt, Shape.Of(1, prompt.Length))).ToArray();
        double[] first = Reals(golden.GetProperty("logits_pos0")),
            last = Reals(golden.GetProperty("logits_last_prompt"));
        // F32 against float64 through two layers; logits reach 10, so 1e-4 is 1e-5 of them.
        for (var i = 0; i < 2048; i++)
        {
            Assert.Equal(first[i], logits[i], 1e-4);
            Assert.Equal(last[i], logits[^(2048 - i)], 1e-4);
        }
    }

    [Fact]
    public void LossesPerStoryAreEqual()
    {
        using var model = Model();
        var golden = Golden("tinystories656k_nll.json");
        double sum = 0, count = 0;
        foreach (var story in golden.GetProperty("stories").EnumerateArray())
        {
            using var scope = TensorScope.Begin();
            var tokens = Ints(story.GetProperty("tokens"));
            var labels = tokens[1..].Append(-100).ToArray();
            var loss = model.Forward(Tensor.From(tokens, Shape.Of(1, tokens.Length)))
                .CrossEntropy(Tensor.From(labels, Shape.Of(1, labels.Length)), 1f / (tokens.Length - 1)).Item();
            Assert.Equal(story.GetProperty("mean_nll").GetDouble(), loss, 1e-5);
            sum += loss * (double)(tokens.Length - 1);
            count += tokens.Length - 1;
        }
        // The overall mean is over tokens, not stories.
        Assert.Equal(golden.GetProperty("mean").GetDouble(), sum / count, 1e-5);
    }

    [Fact]
    public void PaddedBatchesGiveTheSameLosses()
    {
        using var model = Model();
        using var scope = TensorScope.Begin();
        var stories = Golden("tinystories656k_nll.json").GetProperty("stories").EnumerateArray().ToArray();
        var tokens = stories.Select(s => Ints(s.GetProperty("tokens"))).ToArray();
        var (batch, width) = (tokens.Length, tokens.Max(t => t.Length));
        var ids = new int[batch * width];
        for (var b = 0; b < batch; b++) tokens[b].CopyTo(ids, b * width);
        var lengths = Tensor.From(tokens.Select(t => t.Length).ToArray(), Shape.Of(batch));
        var logits = model.Forward(Tensor.From(ids, Shape.Of(batch, width)), lengths: lengths);
        for (var b = 0; b < batch; b++)
        {
            var n = tokens[b].Length - 1;
            var row = Tensor.From(logits.Span<float>().Slice(b * width * 2048, n * 2048), Shape.Of(n, 2048));
            var loss = row.CrossEntropy(Tensor.From(tokens[b].AsSpan(1), Shape.Of(n)), 1f / n).Item();
            Assert.Equal(stories[b].GetProperty("mean_nll").GetDouble(), loss, 1e-5);
        }
    }

    [Fact]
    public void ABatchContinuesEachPromptAsAlone()
    {
        using var model = Model();
        int[][] prompts = [[1, 80, 147, 201, 282, 57], [1, 80], [1, 80, 429, 598, 303, 489, 1148, 177, 1051]];
        var options = new SamplingOptions { Temperature = 0.8, TopK = 50, TopP = 0.95, MaxNewTokens = 60, Seed = 5 };
        var together = model.Generate(prompts, options);
        // Row 0 draws the same numbers alone as in the batch; greedy rows need no draw at all.
        Assert.Equal(together[0].Tokens, model.Generate(prompts[0], options).Tokens);
        Assert.Equal(together[0].Tokens, model.Generate(prompts, options)[0].Tokens);
        var greedy = options with { Temperature = 0 };
        Assert.Equal(
            prompts.Select(p => model.Generate(p, greedy).Tokens),
                model.Generate(prompts, greedy).Select(c => c.Tokens));
        Assert.NotEqual(together[0].Tokens, model.Generate(prompts[0], options with { Seed = 6 }).Tokens);
    }

    [Fact]
    public void GenerationEndsAtTheContextAndAtTheLimit()
    {
        using var model = Model();
        int[] prompt = Enumerable.Repeat(94, 500).ToArray();
        var options = new SamplingOptions { Temperature = 0, MaxNewTokens = 1000, StopIds = [] };
        var result = model.Generate(prompt, options);
        // 512 positions: the last token chosen is the 513th of the text, never read itself.
        Assert.Equal((13, StopReason.Context), (result.Tokens.Count, result.Stop));
        Assert.Equal(StopReason.Length, model.Generate(prompt, options with { MaxNewTokens = 3 }).Stop);
        using var cancelled = new CancellationTokenSource();
        cancelled.Cancel();
        Assert.Equal(StopReason.Cancelled, model.Generate(prompt, options, null, cancelled.Token).Stop);
        Assert.Contains("context of 512 tokens, but has 512",
            Assert.Throws<UserErrorException>(() => model.Generate(new int[512], options)).Message);
        Assert.Contains("is empty",
            Assert.Throws<UserErrorException>(() => model.Generate(Array.Empty<int>(), options)).Message);
    }

    [Fact]
    public void TheTiedHeadIsLoadedFromLmHeadAndSavedUnderTheEmbeddingsName()
    {
        using var folder = new TemporaryFolder();
        using var model = Model();
        Assert.Equal(656_000, model.ParameterCount);
        Assert.Equal("model.embed_tokens.weight", model.Embedding.Weight.Path.Value);
        Assert.Same(model.Embedding.Weight, model.Head.Weight);
        model.Save(folder.Path, SafetensorsDType.BF16);
        using var again = CausalLM.Load(folder.Path);
        foreach (var (before, after) in model.Parameters().Zip(again.Parameters()))
        {
            Assert.Equal(before.Path, after.Path);
            // bfloat16 has 8 significant bits: half a unit in the last place is 2^-9 of the value.
            foreach (var (x, y) in before.Value.ToArray().Zip(after.Value.ToArray()))
                Assert.True(Math.Abs(x - y) <= Math.Abs(x) / 512, $"{before.Path}: {x} {y}");
        }
    }
}
