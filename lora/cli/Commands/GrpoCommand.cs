using CudaLora.Lora;

namespace CudaLora.Cli;

/// <summary><c>cudalora grpo</c>.</summary>
internal sealed class GrpoCommand() : OnlineCommand(
    "grpo", "Train a policy on the better of several responses to each prompt: GRPO, DAPO, Dr. GRPO.",
    [Generations, Beta, Epsilon, EpsilonHigh, LossType, ScaleRewards, Level, MaskTruncated],
    [
        "cudalora grpo --data prompts.jsonl --reward exact --output out/grpo",
        "cudalora grpo --data prompts.jsonl --reward-model out/rm --loss-type dr_grpo --scale-rewards none "
            + "--output out/grpo",
    ])
{
    private static readonly Setting<int> Generations = Make.Int(
        "num_generations", "Responses to each prompt", 8, "16", 2);

    private static readonly Setting<double> Beta = Make.Number(
        "beta", "Weight of the divergence from the reference; 0 needs none", 0, "0.04", "a number of at least 0",
        v => v >= 0);

    private static readonly Setting<double> Epsilon = Make.Number(
        "epsilon", "How far below 1 the ratio of probabilities counts", 0.2, "0.1", "a number between 0 and 1",
        v => v is > 0 and < 1);

    private static readonly Setting<double?> EpsilonHigh = Make.MaybeNumber(
        "epsilon_high", "How far above 1; DAPO recommends 0.28", "0.28", "a number above 0", v => v > 0, "epsilon");

    private static readonly Setting<string> LossType = Make.Choice(
        "loss_type", "How token losses are averaged", "dapo", ["dapo", "grpo", "bnpo", "dr_grpo"]);

    private static readonly Setting<string> ScaleRewards = Make.Choice(
        "scale_rewards", "Deviation that advantages are divided by", "group", ["group", "batch", "none"]);

    private static readonly Setting<string> Level = Make.Choice(
        "importance_sampling_level", "One ratio per token or per response (GSPO)", "token", ["token", "sequence"]);

    private static readonly Setting<bool> MaskTruncated = Make.Switch(
        "mask_truncated_completions", "Learn nothing from responses that did not end by themselves");

    protected override bool UsesReference(SettingValues values) => values.Get(Beta) > 0;

    protected override OnlineTrainer Trainer(
        SettingValues values, TrainingArguments arguments, IFineTuning method, OnlineRun run)
    {
        var (responses, group) = (values.Get(OnlineSettings.Responses), values.Get(Generations));
        if (responses % group != 0)
            throw new UsageException(
                $"{Generations.Flag} must divide {OnlineSettings.Responses.Flag} {responses}, but is {group}");
        var options = new GrpoOptions
        {
            Prompts = responses / group,
            Generations = group,
            ResponseLength = values.Get(OnlineSettings.ResponseLength),
            Temperature = values.Get(OnlineSettings.Temperature),
            Epochs = values.Get(OnlineSettings.Epochs) ?? 1,
            MiniBatches = values.Get(OnlineSettings.MiniBatches),
            MissingEosPenalty = values.Get(OnlineSettings.MissingEos),
            KlLimit = values.Get(OnlineSettings.KlLimit),
            Beta = values.Get(Beta),
            Epsilon = values.Get(Epsilon),
            EpsilonHigh = values.Get(EpsilonHigh),
            Loss = values.Get(LossType) switch
            {
                "grpo" => GrpoLoss.Grpo,
                "bnpo" => GrpoLoss.Bnpo,
                "dr_grpo" => GrpoLoss.DrGrpo,
                _ => GrpoLoss.Dapo,
            },
            ScaleRewards = values.Get(ScaleRewards) switch
            {
                "batch" => GrpoScale.Batch,
                "none" => GrpoScale.None,
                _ => GrpoScale.Group,
            },
            SequenceLevel = values.Get(Level) == "sequence",
            MaskTruncated = values.Get(MaskTruncated),
        };
        return new GrpoTrainer(arguments, options, new PolicyFineTuning(method), run);
    }
}
