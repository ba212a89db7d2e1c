using CudaLora.Engine;
using CudaLora.Lora;

namespace CudaLora.Tests.Lora;

/// <summary>Generation as a service uses it: cancelled, empty, from several threads at once.</summary>
public class GenerationHostTests
{
    private static readonly SamplingOptions Options = new() { MaxNewTokens = 12, Temperature = 0.8, StopIds = [] };

    [Fact]
    public void CancelledBeforeItBeginsItMakesNoToken()
    {
        using var model = TrainerTests.TinyModel();
        var called = 0;
        var result = model.Generate([1, 2], Options, _ => called++, new CancellationToken(true));
        Assert.Equal(StopReason.Cancelled, result.Stop);
        Assert.Empty(result.Tokens);
        Assert.Equal(0, called);
    }

    [Fact]
    public void CancelledInBetweenItKeepsWhatItHas()
    {
        using var model = TrainerTests.TinyModel();
        using var stop = new CancellationTokenSource();
        var whole = model.Generate([1, 2], Options).Tokens;
        var seen = new List<int>();
        var result = model.Generate([1, 2], Options, Take, stop.Token);
        Assert.Equal(StopReason.Cancelled, result.Stop);
        Assert.Equal(whole.Take(5), result.Tokens);
        Assert.Equal(result.Tokens, seen);

        void Take(int token)
        {
            seen.Add(token);
            if (seen.Count == 5)
                stop.Cancel();
        }
    }

    [Fact]
    public void NoPromptsGiveNoContinuations()
    {
        using var model = TrainerTests.TinyModel();
        Assert.Empty(model.Generate(Array.Empty<int[]>(), Options));
        Assert.Throws<ArgumentNullException>(() => model.Generate([1], null!));
        Assert.Throws<ArgumentNullException>(() => model.Generate((IReadOnlyList<int>)null!, Options));
    }

    [Fact]
    public async Task ThreadsShareAModel()
    {
        using var model = TrainerTests.TinyModel();
        using var adapter = LoraAdapter.Create(
            model, TrainerTests.Config(0.5) with { InitLoraWeights = LoraInit.Random }, new Generator(1));
        var alone = Enumerable.Range(0, 4).Select(Continue).ToArray();
        // More threads than cores, and dropout that would show if one switched training on for another.
        var together = await Task.WhenAll(Enumerable.Range(0, 32).Select(
            i => Task.Factory.StartNew(
                () => Continue(i % 4), TestContext.Current.CancellationToken, TaskCreationOptions.LongRunning,
                TaskScheduler.Default)));
        for (var i = 0; i < together.Length; i++)
            Assert.Equal(alone[i % 4], together[i]);
        Assert.False(model.Training);

        IReadOnlyList<int> Continue(int i) =>
            model.Generate([1, 5 + i, 9], Options with { Seed = (ulong)i, MaxNewTokens = 30 }).Tokens;
    }
}
