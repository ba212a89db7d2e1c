using CudaLora.Lora;

namespace CudaLora.Cli;

/// <summary>Settings of single methods, with PEFT's names; LoRA's own are in <see cref="AdapterSettings"/>.</summary>
internal static class MethodSettings
{
    public static readonly Setting<string> Method = Make.Choice(
        "method", string.Join("; ", FineTuningMethods.All.Select(m => $"{m.Name}: {m.Summary}")), "lora",
        [.. FineTuningMethods.All.Select(m => m.Name)], aka: ["finetuning_type"]);

    public static readonly Setting<string?> StartAdapter = Make.Text(
        "adapter", "Go on training this adapter; its own r, alpha and targets count", "out/alpaca",
        aka: ["adapter_name_or_path"]);

    public static readonly Setting<double> LoraPlusRatio = Make.Number(
        "loraplus_lr_ratio", "lora-plus: learning rate of B over that of A", 16, "8", "a number above 0", v => v > 0);

    public static readonly Setting<double> LoraPlusEmbedding = Make.Number(
        "loraplus_lr_embedding", "lora-plus: learning rate of adapters on embeddings", 1e-6, "1e-5",
        "a number of at least 0", v => v >= 0);

    public static readonly Setting<int> InitR = Make.Int(
        "init_r", "adalora: rank of every layer at first", 12, "16", 1);

    public static readonly Setting<int> TargetR = Make.Int(
        "target_r", "adalora: mean rank of the layers at the end", 8, "4", 0);

    public static readonly Setting<int?> TInit = Make.MaybeInt(
        "tinit", "adalora: steps before the first rank is taken away", "50", 0, "a tenth of the run");

    public static readonly Setting<int?> TFinal = Make.MaybeInt(
        "tfinal", "adalora: steps at the end with fixed ranks", "100", 0, "three tenths of the run");

    public static readonly Setting<int> DeltaT = Make.Int(
        "delta_t", "adalora: steps between two allocations", 1, "10", 1);

    public static readonly Setting<double> Beta1 = Make.Number(
        "beta1", "adalora: decay of the mean sensitivity", 0.85, "0.9", "a number from 0 to below 1",
        v => v is >= 0 and < 1);

    public static readonly Setting<double> Beta2 = Make.Number(
        "beta2", "adalora: decay of its uncertainty", 0.85, "0.9", "a number from 0 to below 1",
        v => v is >= 0 and < 1);

    public static readonly Setting<double> OrthRegWeight = Make.Number(
        "orth_reg_weight", "adalora: weight of the penalty that keeps P and Q orthonormal", 0.5, "0.1",
        "a number of at least 0", v => v >= 0);

    public static readonly Setting<double> DInitial = Make.Number(
        "d_initial", "vera: first value of the scaling vector", 0.1, "1", "a number", _ => true);

    public static readonly Setting<string[]> Feedforward = Make.List(
        "feedforward_modules", "ia3: targets whose input is scaled instead of their output", "down_proj",
        "names of modules, separated by commas", shown: "the MLP's last layer");

    public static readonly Setting<int> VirtualTokens = Make.Int(
        "num_virtual_tokens", "prefix, prompt, p-tuning: tokens in front of every text", 20, "10", 1);

    public static readonly Setting<bool> PrefixProjection = Make.Switch(
        "prefix_projection", "prefix: an MLP makes the prefix in training");

    public static readonly Setting<string> PromptInit = Make.Choice(
        "prompt_tuning_init",
        "prefix, prompt: begin as a text, as random tokens of the vocabulary, or as random numbers",
        "text", ["text", "sample_vocab", "random"]);

    public static readonly Setting<string> PromptText = new(
        "prompt_tuning_init_text", "Answer the question in a few words.", "prefix, prompt: the text to begin as",
        "Answer briefly.", "a text")
    {
        IsFreeText = true,
        Read = (IReadOnlyList<string> texts, out string value) => (value = string.Join(' ', texts)).Length > 0,
        Write = value => [value],
    };

    public static readonly Setting<string> EncoderType = Make.Choice(
        "encoder_reparameterization_type", "p-tuning: what makes the tokens", "mlp", ["mlp", "lstm"]);

    public static readonly Setting<int?> EncoderSize = Make.MaybeInt(
        "encoder_hidden_size", "prefix with a projection, p-tuning: width of the encoder", "128", 1,
        "the width of the tokens");

    public static readonly Setting<int> EncoderLayers = Make.Int(
        "encoder_num_layers", "p-tuning: layers of the LSTM", 2, "1", 1);

    public static readonly Setting<double> EncoderDropout = Make.Number(
        "encoder_dropout", "p-tuning: dropout between them", 0, "0.1", "a number from 0 to below 1",
        v => v is >= 0 and < 1);

    public static readonly Setting<int> LastLayers = Make.Int(
        "freeze_trainable_layers", "last-layers: blocks that train, counted from the end", 2, "1", 1);

    /// <summary>The choice, LoRA's settings and their relatives'.</summary>
    public static readonly SettingGroup Group = new(
        "Method",
        [Method, StartAdapter, .. AdapterSettings.All, LoraPlusRatio, LoraPlusEmbedding]);

    /// <summary>Settings of single methods.</summary>
    public static readonly SettingGroup Others = new(
        "Other methods", InitR, TargetR, TInit, TFinal, DeltaT, Beta1, Beta2, OrthRegWeight, DInitial, Feedforward,
        VirtualTokens, PrefixProjection, PromptInit, PromptText, EncoderType, EncoderSize, EncoderLayers,
        EncoderDropout, LastLayers);

    /// <summary>Every setting that only some methods take.</summary>
    public static IReadOnlyList<Setting> All { get; } =
        [.. Group.Settings.Concat(Others.Settings).Where(setting => setting != Method)];

    /// <summary>Those that concern the run and not the adapter: they may change when one goes on.</summary>
    public static IReadOnlyList<Setting> Kept { get; } = [LoraPlusRatio, LoraPlusEmbedding];
}
