using CudaLora.Lora;

namespace CudaLora.Cli;

/// <summary><c>cudalora kto</c>.</summary>
internal sealed class KtoCommand() : PreferenceCommand(
    "kto", "Train on responses that are each judged good or bad, without pairs: KTO.",
    [PreferenceSettings.Beta, Desirable, Undesirable, PreferenceSettings.Precompute],
    [
        "cudalora kto --model models/TinyStories-656K --data preference/kto_en_demo.json --output out/kto",
        "cudalora kto --data labels.jsonl --undesirable-weight 1.5 --output out/kto",
    ])
{
    private static readonly Setting<double> Desirable = Make.Number(
        "desirable_weight", "Weight of good responses", 1, "1.5", "a number of at least 0", v => v >= 0,
        aka: ["kto_chosen_weight"]);

    private static readonly Setting<double> Undesirable = Make.Number(
        "undesirable_weight", "Weight of bad responses", 1, "1.5", "a number of at least 0", v => v >= 0,
        aka: ["kto_rejected_weight"]);

    protected override IMeasuredObjective Objective(SettingValues values) => new Kto(new KtoOptions
    {
        Beta = values.Get(PreferenceSettings.Beta),
        DesirableWeight = values.Get(Desirable),
        UndesirableWeight = values.Get(Undesirable),
    });

    protected override (PreferenceData Train, PreferenceData Held) Load(
        SettingValues values, PreferenceEncoder encoder, Action<string> note) =>
        PreferenceSet.Load(values, PreferenceFile.LoadLabels, encoder.Labels, note);
}
