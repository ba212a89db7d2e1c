using CudaLora.Lora;

namespace CudaLora.Cli;

/// <summary><c>cudalora orpo</c>.</summary>
internal sealed class OrpoCommand() : PreferenceCommand(
    "orpo", "Fine-tune on the chosen responses and away from the rejected ones in one go: ORPO.",
    [PreferenceSettings.Beta, ResponseOnly],
    ["cudalora orpo --model models/TinyStories-656K --data preference/dpo_en_demo.json --output out/orpo"])
{
    private static readonly Setting<bool> ResponseOnly = Make.Switch(
        "response_only", "The cross-entropy covers the chosen response alone, not its prompt");

    protected override bool UsesReference(SettingValues values) => false;

    protected override IMeasuredObjective Objective(SettingValues values) =>
        new Orpo(values.Get(PreferenceSettings.Beta), !values.Get(ResponseOnly));
}
