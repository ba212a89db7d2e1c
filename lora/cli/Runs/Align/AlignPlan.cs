using CudaLora.Lora;

namespace CudaLora.Cli;

/// <summary>How much the alignment example does.</summary>
internal sealed record AlignPlan
{
    /// <summary>A few minutes on two cores: SFT, reward model, PPO.</summary>
    public static AlignPlan Quick { get; } = new();

    /// <summary>The same with more of everything, DPO, GRPO and best-of-n beside PPO, and reward hacking as a lab
    /// experiment.</summary>
    public static AlignPlan Full { get; } = new()
    {
        SftEpochs = 6,
        RewardPairs = 800,
        PpoSteps = 50,
        HeldOut = 300,
        HasOthers = true,
    };

    /// <summary>Passes of SFT.</summary>
    public double SftEpochs { get; init; } = 5;

    /// <summary>Pairs that the reward model learns from.</summary>
    public int RewardPairs { get; init; } = 400;

    /// <summary>Facts that pairs and prompts are from when figures are taken: the test part, but for choosing
    /// settings.</summary>
    public WorldPart Judged { get; init; } = WorldPart.Test;

    /// <summary>Pairs held out, and prompts that policies answer before and after.</summary>
    public int HeldOut { get; init; } = 150;

    /// <summary>PPO steps.</summary>
    public int PpoSteps { get; init; } = 40;

    /// <summary>Responses of a PPO step.</summary>
    public int Responses { get; init; } = 64;

    /// <summary>Whether the other methods run too.</summary>
    public bool HasOthers { get; init; }
}
