using CudaLora.Engine;

namespace CudaLora.Tests.Engine;

public class ScheduleTests
{
    // Values of transformers/optimization.py for 100 steps, 10 of them warm-up.
    [Theory]
    [InlineData("linear", 0, 0.0)]
    [InlineData("linear", 5, 0.5)]
    [InlineData("linear", 10, 1.0)]
    [InlineData("linear", 11, 0.988889)]
    [InlineData("linear", 55, 0.5)]
    [InlineData("linear", 99, 0.011111)]
    [InlineData("linear", 100, 0.0)]
    [InlineData("linear", 120, 0.0)]
    [InlineData("cosine", 5, 0.5)]
    [InlineData("cosine", 11, 0.999695)]
    [InlineData("cosine", 55, 0.5)]
    [InlineData("cosine", 99, 0.000305)]
    [InlineData("constant", 0, 1.0)]
    [InlineData("constant", 5, 1.0)]
    [InlineData("constant_with_warmup", 5, 0.5)]
    [InlineData("constant_with_warmup", 70, 1.0)]
    [InlineData("inverse_sqrt", 5, 0.5)]
    [InlineData("inverse_sqrt", 10, 1.0)]
    [InlineData("inverse_sqrt", 40, 0.5)]
    [InlineData("cosine_with_min_lr", 5, 0.5)]
    [InlineData("cosine_with_min_lr", 55, 0.55)]
    [InlineData("cosine_with_min_lr", 100, 0.1)]
    [InlineData("polynomial", 55, 0.5)]
    [InlineData("polynomial", 100, 0.0)]
    [InlineData("cosine_with_restarts", 55, 0.5)]
    [InlineData("cosine_with_restarts", 100, 0.0)]
    public void Multiplier_IsHuggingFaces(string name, int step, double expected) =>
        Assert.Equal(expected, Schedule.Create(name, 10, 100).At(step), 1e-6);

    [Fact]
    public void Restarts_BeginAgainAtThePeak()
    {
        var schedule = Schedule.Create("cosine_with_restarts", 0, 100, cycles: 4);
        Assert.Equal(1, schedule.At(0), 1e-12);
        Assert.Equal(0.5, schedule.At(12) / 2 + schedule.At(13) / 2, 1e-6);
        Assert.Equal(1, schedule.At(25), 1e-12);
        Assert.Equal(1, schedule.At(75), 1e-12);
        Assert.Equal(0, schedule.At(100), 1e-12);
    }

    [Fact]
    public void Polynomial_HasPowerAndEnd()
    {
        var schedule = Schedule.Create("polynomial", 0, 100, power: 2, end: 0.2);
        Assert.Equal(0.2 + 0.8 * 0.25, schedule.At(50), 1e-12);
        Assert.Equal(0.2, schedule.At(100), 1e-12);
        Assert.Equal(0.2, schedule.At(500), 1e-12);
    }

    [Fact]
    public void InverseSqrt_WithoutWarmupStartsAtOne()
    {
        var schedule = Schedule.Create("inverse_sqrt", 0, 100);
        Assert.Equal(1, schedule.At(0), 1e-12);
        Assert.Equal(1 / Math.Sqrt(2), schedule.At(10_000), 1e-12);
    }

    [Fact]
    public void WarmupBelowOne_IsAShareRoundedUp() =>
        Assert.Equal(11, Schedule.Create("linear", 0.103, 100).WarmupSteps);

    [Fact]
    public void UnknownName_ListsTheKnown()
    {
        var error = Assert.Throws<ArgumentException>(() => Schedule.Create("cosin", 0, 10));
        Assert.StartsWith("[schedule] name must be one of linear, cosine,", error.Message);
        Assert.EndsWith("but got cosin", error.Message);
    }
}
