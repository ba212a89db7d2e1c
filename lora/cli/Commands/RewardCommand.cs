using CudaLora.Engine;
using CudaLora.Lora;

namespace CudaLora.Cli;

/// <summary><c>cudalora reward</c>.</summary>
internal sealed class RewardCommand() : PreferenceCommand(
    "reward", "Train a reward model on preferences: a score for each response, from a new head on the model.",
    [Centring],
    [
        "cudalora reward --model models/TinyStories-656K --data preference/dpo_en_demo.json --output out/rm",
        "cudalora reward --method full --data pairs.jsonl --center-rewards-coefficient 0.01 --output out/rm",
    ])
{
    private const double Rate = 1e-4;

    private static readonly Setting<double> Centring = Make.Number(
        "center_rewards_coefficient", "Weight of the squared sum of both rewards, which keeps rewards around 0", 0,
        "0.01", "a number of at least 0", v => v >= 0);

    protected override (double Lora, double Full) Rates => (Rate, Rate);

    protected override bool UsesReference(SettingValues values) => false;

    protected override IMeasuredObjective Objective(SettingValues values) => new RewardLoss(values.Get(Centring));

    protected override RewardModel? Reward(LoadedModel loaded) => new(loaded.Model, loaded.Adapter as LoraAdapter);

    protected override IFineTuning Prepare(
        SettingValues values, LoadedModel loaded, LoraConfig? config, Generator random)
    {
        loaded.Model.AddScore(random: random);
        return base.Prepare(values, loaded, config is null ? null : RewardModel.Classifier(config), random);
    }
}
