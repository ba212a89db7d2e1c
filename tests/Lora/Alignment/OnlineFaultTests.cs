using System.Globalization;
using CudaLora.Engine;
using CudaLora.Lora;
using static CudaLora.Tests.Lora.OnlineFixture;

namespace CudaLora.Tests.Lora;

/// <summary>What goes wrong in the midst of PPO and GRPO names the step or the sample and loses nothing.</summary>
public sealed class OnlineFaultTests : IDisposable
{
    private readonly TemporaryFolder folder = new();

    public void Dispose() => folder.Dispose();

    [Fact]
    public void ARewardThatThrows_NamesTheSample_AndLosesNothing()
    {
        var asked = 0;
        RewardSample? bad = null;
        var fails = new FunctionReward("fails", sample =>
        {
            if (++asked == (2 * 32) + 6)
                bad = sample;
            return sample == bad ? throw new InvalidOperationException("no opinion") : asked % 3;
        });
        using var policy = new Policy();
        var message = Refused(() => Train(policy, "ppo", folder.File("out"), 9, fails, save: 100));
        Assert.StartsWith(
            "ppo: reward 'fails' failed on sample 5 of step 3 (prompt '", message, StringComparison.Ordinal);
        Assert.Contains(
            $"no opinion; the state after step 2 is in {folder.File("out")}", message, StringComparison.Ordinal);
        Assert.Equal(2, TrainerState.Read(folder.File("out/checkpoint-2")).GlobalStep);
    }

    [Fact]
    public void ARewardThatIsNoNumber_IsRefused()
    {
        using var policy = new Policy();
        Assert.Contains(
            "reward 'odd' must give finite numbers, but gave NaN for sample 0 of step 1",
            Refused(() => Train(policy, "grpo", folder.File("out"), 2, new FunctionReward("odd", _ => double.NaN))),
            StringComparison.Ordinal);
    }

    [Fact]
    public void AnExplodingDivergence_StopsWithTheStep_AndKeepsTheLastGoodCheckpoint()
    {
        using var policy = new Policy();
        var message = Refused(() => Train(policy, "ppo", folder.File("out"), 60, Letters, save: 1, klLimit: 0.5));
        Assert.Matches(
            "ppo stopped at step [0-9]+: the divergence from the reference is .* above the limit of 0.5", message);
        var step = int.Parse(message.Split("step ")[1].Split(':')[0], CultureInfo.InvariantCulture);
        Assert.Contains(
            $"The last good checkpoint is {folder.File("out")}/checkpoint-{step - 1}", message,
            StringComparison.Ordinal);
        Assert.True(Directory.Exists(folder.File($"out/checkpoint-{step - 1}")));
    }

    [Fact]
    public void ADivergenceThatIsNoNumber_StopsWithTheStep()
    {
        using var policy = new Policy();
        var asked = 0;
        // The weights break after the third step has sampled, before it scores.
        var breaks = new FunctionReward("breaks", _ =>
        {
            if (++asked == (2 * 32) + 1)
                policy.Output.Value.Fill(float.NaN);
            return 1;
        });
        var message = Refused(() => Train(policy, "grpo", folder.File("out"), 9, breaks, save: 1));
        Assert.StartsWith(
            "grpo stopped at step 3: the divergence from the reference is NaN", message, StringComparison.Ordinal);
        Assert.Contains(
            $"The last good checkpoint is {folder.File("out")}/checkpoint-2", message, StringComparison.Ordinal);
        Assert.Equal(2, TrainerState.Read(folder.File("out/checkpoint-2")).GlobalStep);
    }

    [Fact]
    public void NotANumber_StopsWithTheStep()
    {
        using var policy = new Policy();
        var steps = 0;
        var breaks = new FunctionReward("breaks", _ =>
        {
            if (++steps == (2 * 32) + 1)
                policy.Head.Parameters().First().Value.Fill(float.NaN);
            return 1;
        });
        var message = Refused(() => Train(policy, "ppo", folder.File("out"), 9, breaks, save: 1));
        Assert.StartsWith("ppo stopped at step 3: training diverged", message, StringComparison.Ordinal);
        Assert.Contains("The last good checkpoint is", message, StringComparison.Ordinal);
    }

    private static string Refused(Action work) => Assert.Throws<UserErrorException>(work).Message;
}
