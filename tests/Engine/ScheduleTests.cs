using CudaLora.Engine;

namespace CudaLora.Tests.Engine;

public class ScheduleTests
{
    // Values of transformers' LambdaLR multipliers for 100 steps with 10 of warm-up.
    [Theory]
    [InlineData("linear", 0, 0)]
    [InlineData("linear", 5, 0.5)]
    [InlineData("linear", 11, 0.988889)]
    [InlineData("linear", 55, 0.5)]
    [InlineData("linear", 99, 0.011111)]
    [InlineData("linear", 100, 0)]
    [InlineData("cosine", 5, 0.5)]
    [InlineData("cosine", 11, 0.999695)]
    [InlineData("cosine", 55, 0.5)]
    [InlineData("cosine", 99, 0.000305)]
    [InlineData("constant", 0, 1)]
    [InlineData("constant_with_warmup", 5, 0.5)]
    [InlineData("constant_with_warmup", 60, 1)]
    [InlineData("inverse_sqrt", 40, 0.5)]
    [InlineData("polynomial", 55, 0.5)]
    [InlineData("cosine_with_min_lr", 55, 0.55)]
    [InlineData("cosine_with_min_lr", 100, 0.1)]
    public void Multiplier_MatchesTheReference(string name, int step, double expected) =>
        Assert.Equal(expected, Schedule.Create(name, 10, 100).At(step), 1e-6);

    [Fact]
    public void Restarts_BeginAgainAtTheTop()
    {
        var schedule = Schedule.Create("cosine_with_restarts", 0, 100, cycles: 2);
        Assert.Equal(1, schedule.At(0), 1e-12);
        Assert.Equal(1, schedule.At(50), 1e-12);
        Assert.Equal(0.5, schedule.At(25), 1e-12);
        Assert.Equal(0, schedule.At(100), 1e-12);
    }

    [Fact]
    public void WarmupBelowOne_IsAShareRoundedUp() =>
        Assert.Equal(4, Schedule.Create("linear", 0.03, 101).WarmupSteps);

    [Fact]
    public void UnknownName_ListsTheKnown()
    {
        var error = Assert.Throws<ArgumentException>(() => Schedule.Create("cosin", 0, 10));
        Assert.Contains("cosine_with_restarts", error.Message, StringComparison.Ordinal);
        Assert.Contains("but got cosin", error.Message, StringComparison.Ordinal);
    }
}
