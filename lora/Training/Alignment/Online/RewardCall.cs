using CudaLora.Engine;

namespace CudaLora.Lora;

/// <summary>Asks a reward for its judgement and says which sample it failed on.</summary>
internal static class RewardCall
{
    private const int Shown = 80;

    /// <summary>The rewards of all samples.</summary>
    /// <exception cref="UserErrorException">The reward threw, or gave something that is no number; names the
    /// sample.</exception>
    public static float[] Score(IReward reward, IReadOnlyList<RewardSample> samples, int step)
    {
        var rewards = new float[samples.Count];
        try
        {
            reward.Score(samples, rewards);
        }
        catch (Exception e) when (e is not OperationCanceledException)
        {
            throw Failed(reward, samples, step, e);
        }
        var wrong = Array.FindIndex(rewards, r => !float.IsFinite(r));
        if (wrong >= 0)
            throw new UserErrorException(
                $"reward '{reward.Name}' must give finite numbers, but gave {rewards[wrong]} for "
                + $"{Describe(samples, wrong, step)}");
        return rewards;
    }

    // Which sample it was is found by asking for each alone.
    private static UserErrorException Failed(
        IReward reward, IReadOnlyList<RewardSample> samples, int step, Exception error)
    {
        for (var i = 0; i < samples.Count; i++)
        {
            try
            {
                reward.Score([samples[i]], new float[1]);
            }
            catch (Exception e) when (e is not OperationCanceledException)
            {
                return new UserErrorException(
                    $"reward '{reward.Name}' failed on {Describe(samples, i, step)}: {e.Message}", e);
            }
        }
        return new UserErrorException(
            $"reward '{reward.Name}' failed on the {samples.Count} samples of step {step} together, but on none alone: "
            + error.Message, error);
    }

    private static string Describe(IReadOnlyList<RewardSample> samples, int i, int step) =>
        $"sample {i} of step {step} (prompt '{Short(samples[i].Prompt.Text)}', "
        + $"response '{Short(samples[i].Response)}')";

    private static string Short(string text)
    {
        var line = text.ReplaceLineEndings(" ");
        return line.Length <= Shown ? line : line[..(Shown - 3)] + "...";
    }
}
