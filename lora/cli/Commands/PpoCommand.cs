using CudaLora.Lora;

namespace CudaLora.Cli;

/// <summary><c>cudalora ppo</c>.</summary>
internal sealed class PpoCommand() : OnlineCommand(
    "ppo", "Train a policy against a reward with PPO; the reference is the model as it was.",
    [KlCoef, Estimator, KlTarget, KlHorizon, ClipRange, ClipRangeValue, VfCoef, EntropyCoef, Gamma, Lambda, Whiten],
    [
        "cudalora ppo --model models/TinyStories-656K --data prompts.jsonl --reward-model out/rm --output out/ppo",
        "cudalora ppo --data prompts.jsonl --reward exact --kl-target 6 --max-steps 50 --output out/ppo",
        "cudalora ppo --config out/ppo/training_args.yaml --resume-from-checkpoint true",
    ])
{
    private static readonly Setting<double> KlCoef = Make.Number(
        "kl_coef", "Penalty on the divergence of each token", 0.05, "0.1", "a number of at least 0", v => v >= 0,
        aka: ["init_kl_coef"]);

    private static readonly Setting<string> Estimator = Make.Choice(
        "kl_estimator", "k1 is the log ratio, k3 is never negative", "k1", ["k1", "k3"]);

    private static readonly Setting<double?> KlTarget = Make.MaybeNumber(
        "kl_target", "Adapts the coefficient to this divergence of a response", "6", "a number above 0", v => v > 0,
        "fixed coefficient", aka: ["target"]);

    private static readonly Setting<double> KlHorizon = Make.Number(
        "kl_horizon", "Responses over which the coefficient adapts", 10000, "1000", "a number above 0", v => v > 0,
        aka: ["horizon"]);

    private static readonly Setting<double> ClipRange = Make.Number(
        "cliprange", "How far the ratio of probabilities counts", 0.2, "0.1", "a number above 0", v => v > 0);

    private static readonly Setting<double> ClipRangeValue = Make.Number(
        "cliprange_value", "How far a value may move in a step", 0.2, "0.5", "a number above 0", v => v > 0);

    private static readonly Setting<double> VfCoef = Make.Number(
        "vf_coef", "Weight of the value loss", 0.1, "0.5", "a number of at least 0", v => v >= 0);

    private static readonly Setting<double> EntropyCoef = Make.Number(
        "entropy_coef", "Weight of an entropy bonus", 0, "0.01", "a number of at least 0", v => v >= 0);

    private static readonly Setting<double> Gamma = Make.Number(
        "gamma", "Discount", 1, "0.99", "a number above 0, at most 1", v => v is > 0 and <= 1);

    private static readonly Setting<double> Lambda = Make.Number(
        "lam", "Of generalised advantage estimation", 0.95, "1", "a number from 0 to 1", v => v is >= 0 and <= 1);

    private static readonly Setting<bool> Whiten = Make.Switch(
        "whiten_rewards", "Scale the rewards of a step's tokens to variance 1");

    protected override bool UsesReference(SettingValues values) => true;

    protected override OnlineTrainer Trainer(
        SettingValues values, TrainingArguments arguments, IFineTuning method, OnlineRun run) => new PpoTrainer(
        arguments,
        new PpoOptions
        {
            Prompts = values.Get(OnlineSettings.Responses),
            ResponseLength = values.Get(OnlineSettings.ResponseLength),
            Temperature = values.Get(OnlineSettings.Temperature),
            Epochs = values.Get(OnlineSettings.Epochs) ?? 4,
            MiniBatches = values.Get(OnlineSettings.MiniBatches),
            MissingEosPenalty = values.Get(OnlineSettings.MissingEos),
            KlLimit = values.Get(OnlineSettings.KlLimit),
            KlCoef = values.Get(KlCoef),
            KlEstimator = values.Get(Estimator) == "k3" ? KlEstimator.K3 : KlEstimator.K1,
            KlTarget = values.Get(KlTarget),
            KlHorizon = values.Get(KlHorizon),
            ClipRange = values.Get(ClipRange),
            ClipRangeValue = values.Get(ClipRangeValue),
            VfCoef = values.Get(VfCoef),
            EntropyCoef = values.Get(EntropyCoef),
            Gamma = values.Get(Gamma),
            Lambda = values.Get(Lambda),
            WhitenRewards = values.Get(Whiten),
        },
        new PolicyFineTuning(method, new ValueHead(method.Model)), run);
}
