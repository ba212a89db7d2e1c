using CudaLora.Engine;
using CudaLora.Lora;
using static CudaLora.Tests.Lora.OnlineFixture;

namespace CudaLora.Tests.Lora;

/// <summary>PPO that trains every weight, against a frozen copy.</summary>
public sealed class OnlineFullTests : IDisposable
{
    private readonly TemporaryFolder folder = new();

    public void Dispose() => folder.Dispose();

    [Fact]
    public void InFull_TheReferenceIsAFrozenCopy()
    {
        using var policy = new Policy(full: true);
        using var frozen = Policy.Make();
        var recorder = new Recorder();
        var before = frozen.Parameters().First().Value.ToArray();
        Train(policy, "ppo", folder.File("out"), 3, Letters, recorder: recorder, reference: frozen);
        Assert.Equal(0, recorder.Steps[0].Metrics!["objective/kl"], 1e-4);
        // Measured between the two: equal weights would give 0 for ever.
        Assert.True(Math.Abs(recorder.Steps[^1].Metrics!["objective/kl"]) > 0.01);
        Assert.Equal(before, frozen.Parameters().First().Value.ToArray());
        Assert.NotEqual(before, policy.Model.Parameters().First().Value.ToArray());
        Assert.True(File.Exists(folder.File("out/model.safetensors")));
    }

    [Fact]
    public void InFull_ResumedRunsAreTheSameBitForBit()
    {
        var (whole, parts) = (folder.File("whole"), folder.File("parts"));
        using (var policy = new Policy(full: true))
        using (var frozen = Policy.Make())
            Train(policy, "ppo", whole, 4, Letters, reference: frozen);
        using (var policy = new Policy(full: true))
        using (var frozen = Policy.Make())
        {
            Train(
                policy, "ppo", parts, 4, Letters, resume: Path.Combine(whole, "checkpoint-2"), reference: frozen);
        }
        Assert.All((string[])["model.safetensors", ValueHead.FileName], file => Assert.Equal(
            File.ReadAllBytes(Path.Combine(whole, file)), File.ReadAllBytes(Path.Combine(parts, file))));
    }

    [Fact]
    public void InFull_WithoutACopy_IsRefused()
    {
        using var policy = new Policy(full: true);
        Assert.Contains(
            "the reference must be a frozen copy of it (ppo: OnlineRun.Reference)",
            Assert.Throws<UserErrorException>(() => Train(policy, "ppo", folder.File("out"), 1, Letters)).Message,
            StringComparison.Ordinal);
    }
}
