using CudaLora.Lora;

namespace CudaLora.Cli;

/// <summary><c>cudalora dpo</c>.</summary>
internal sealed class DpoCommand() : PreferenceCommand(
    "dpo", "Train on preferences directly: DPO and its relatives IPO, hinge, robust and SimPO.",
    [LossType, PreferenceSettings.Beta, Gamma, Smoothing, ReferenceFree, PreferenceSettings.Precompute],
    [
        "cudalora dpo --model models/TinyStories-656K --data preference/dpo_en_demo.json --output out/dpo",
        "cudalora dpo --data pairs.jsonl --loss-type ipo --beta 0.3 --output out/ipo",
        "cudalora dpo --data pairs.jsonl --loss-type simpo --beta 2 --simpo-gamma 0.5 --output out/simpo",
    ])
{
    private static readonly Setting<string> LossType = Make.Choice(
        "loss_type", "The loss; simpo has no reference", "sigmoid", ["sigmoid", "hinge", "ipo", "robust", "simpo"],
        aka: ["pref_loss"]);

    private static readonly Setting<double> Gamma = Make.Number(
        "simpo_gamma", "SimPO's margin", 0.5, "1.0", "a number of at least 0", v => v >= 0);

    private static readonly Setting<double> Smoothing = Make.Number(
        "label_smoothing", "Share of the labels that are taken to be wrong; sigmoid and robust", 0, "0.1",
        "a number from 0 to below 0.5", v => v is >= 0 and < 0.5);

    private static readonly Setting<bool> ReferenceFree = Make.Switch(
        "reference_free", "Compare with a reference that gives every response the same probability");

    protected override bool UsesReference(SettingValues values) =>
        !values.Get(ReferenceFree) && values.Get(LossType) != "simpo";

    protected override IMeasuredObjective Objective(SettingValues values)
    {
        var beta = values.Get(PreferenceSettings.Beta);
        if (values.Get(LossType) == "simpo")
            return new SimPo(values.IsGiven(PreferenceSettings.Beta) ? beta : 2, values.Get(Gamma));
        return new Dpo(new DpoOptions
        {
            Loss = values.Get(LossType) switch
            {
                "hinge" => DpoLoss.Hinge,
                "ipo" => DpoLoss.Ipo,
                "robust" => DpoLoss.Robust,
                _ => DpoLoss.Sigmoid,
            },
            Beta = beta,
            LabelSmoothing = values.Get(Smoothing),
            ReferenceFree = values.Get(ReferenceFree),
        });
    }
}
