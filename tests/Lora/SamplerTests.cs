using CudaLora.Engine;
using CudaLora.Lora;

namespace CudaLora.Tests.Lora;

public class SamplerTests
{
    private static readonly float[] Logits = [1.5f, -0.5f, 3f, 0f, 3f, -9f, 2f];

    private static double[] Frequencies(SamplingOptions options, int draws = 40_000)
    {
        var sampler = new Sampler(options);
        var counts = new double[Logits.Length];
        for (var i = 0; i < draws; i++) counts[sampler.Next(Logits, 0, i)] += 1.0 / draws;
        return counts;
    }

    private static double[] Expected(double temperature, Func<int, bool> keep)
    {
        var weights = Logits.Select((l, i) => keep(i) ? Math.Exp(l / temperature) : 0).ToArray();
        return weights.Select(w => w / weights.Sum()).ToArray();
    }

    // Five standard deviations of a share of 40,000 draws are at most 0.0125.
    private static void Near(double[] expected, double[] actual)
    {
        for (var i = 0; i < expected.Length; i++)
        {
            Assert.Equal(expected[i], actual[i], 0.0125);
            if (expected[i] == 0) Assert.Equal(0, actual[i]);
        }
    }

    [Fact]
    public void GreedyTakesTheFirstOfTheLikeliest()
    {
        Assert.Equal(2, new Sampler(new SamplingOptions { Temperature = 0 }).Next(Logits, 3, 9));
        Assert.Equal(2, new Sampler(new SamplingOptions { TopK = 1 }).Next(Logits, 3, 9));
    }

    [Theory]
    [InlineData(1)]
    [InlineData(0.5)]
    [InlineData(2)]
    public void FrequenciesAreTheSoftmax(double temperature) =>
        Near(Expected(temperature, _ => true), Frequencies(new SamplingOptions { Temperature = temperature }));

    [Fact]
    public void TopKKeepsTheLikeliest() =>
        Near(Expected(1, i => i is 2 or 4 or 6), Frequencies(new SamplingOptions { TopK = 3 }));

    [Theory]
    [InlineData(2)]
    [InlineData(7)]
    [InlineData(50)]
    [InlineData(999)]
    public void TopKOfManyIsThatOfASort(int k)
    {
        var random = new Random(k);
        // Steps of a quarter, so that many are equal, and both zeros.
        var logits = Enumerable.Range(0, 1000).Select(_ => (random.Next(128) - 64) / 4f).ToArray();
        logits[3] = -0f;
        var sampler = new Sampler(new SamplingOptions { Temperature = 1e6, TopK = k });
        // As good as uniform: of 30 k draws each of k tokens is missed with a chance of e^-30.
        var drawn = Enumerable.Range(0, 30 * k).Select(step => sampler.Next(logits, 0, step)).ToHashSet();
        var expected = Enumerable.Range(0, 1000).OrderByDescending(i => logits[i]).ThenBy(i => i).Take(k);
        Assert.Equal(expected.Order(), drawn.Order());
    }

    [Fact]
    public void TopPKeepsTheFewestThatReachTheMass()
    {
        // Shares: 0.374, 0.374, 0.138, 0.084, ...; two make 0.749, three 0.886.
        Near(Expected(1, i => i is 2 or 4), Frequencies(new SamplingOptions { TopP = 0.74 }));
        Near(Expected(1, i => i is 2 or 4 or 6), Frequencies(new SamplingOptions { TopP = 0.76 }));
        Near(Expected(1, i => i == 2), Frequencies(new SamplingOptions { TopP = 0.01 }));
        // Top-p counts within what top-k kept: 2 and 4 have equal shares of one half.
        Near(Expected(1, i => i == 2), Frequencies(new SamplingOptions { TopK = 2, TopP = 0.49 }));
    }

    [Fact]
    public void ADrawDependsOnSeedRowAndStepOnly()
    {
        var options = new SamplingOptions { Seed = 11 };
        int[] Draws(ulong seed, int row) => Enumerable.Range(0, 50)
            .Select(step => new Sampler(options with { Seed = seed }).Next(Logits, row, step)).ToArray();
        Assert.Equal(Draws(11, 0), Draws(11, 0));
        Assert.NotEqual(Draws(11, 0), Draws(11, 1));
        Assert.NotEqual(Draws(11, 0), Draws(12, 0));
    }

    [Theory]
    [InlineData(-1, 0, 1, 1, "temperature must be at least 0, but is -1")]
    [InlineData(double.NaN, 0, 1, 1, "temperature")]
    [InlineData(1, -2, 1, 1, "top_k must be at least 0, but is -2")]
    [InlineData(1, 0, 0, 1, "top_p must be above 0 and at most 1, but is 0")]
    [InlineData(1, 0, 1, 0, "max_new_tokens must be at least 1, but is 0")]
    public void RangesAreChecked(double temperature, int topK, double topP, int length, string message)
    {
        var options = new SamplingOptions
        {
            Temperature = temperature,
            TopK = topK,
            TopP = topP,
            MaxNewTokens = length,
        };
        Assert.StartsWith(message, Assert.Throws<UserErrorException>(() => new Sampler(options)).Message);
    }
}
