using System.Text.RegularExpressions;
using CudaLora.Lora;

namespace CudaLora.Cli;

/// <summary>Settings of LoRA, with PEFT's names.</summary>
internal static class AdapterSettings
{
    private const int UsualRanks = 256;

    public static readonly Setting<string?> Adapter = Make.Text(
        "adapter", "Adapter folder in PEFT's layout", "out/alpaca", aka: ["adapter_name_or_path"]);

    public static readonly Setting<int> Rank = Make.Int("r", "Rank", 8, "16", 1, aka: ["lora_r", "lora_rank"]);

    public static readonly Setting<double?> Alpha = Make.MaybeNumber(
        "lora_alpha", "The adapter's output is scaled by alpha / r", "32", "a number above 0", v => v > 0, "twice r");

    public static readonly Setting<double> Dropout = Make.Number(
        "lora_dropout", "Dropout on the adapter's input", 0, "0.05", "a number from 0 to below 1",
        v => v is >= 0 and < 1);

    public static readonly Setting<string[]> Targets = Make.List(
        "target_modules",
        "Layers that get an adapter: names (also embed_tokens, lm_head), one regular expression, or all-linear",
        "q_proj,v_proj",
        "names of modules, separated by commas", ["all-linear"], aka: ["lora_target_modules", "lora_target"]);

    public static readonly Setting<bool> UseRsLora = Make.Switch("use_rslora", "Scale by alpha / sqrt(r)");

    public static readonly Setting<bool> UseDora = Make.Switch(
        "use_dora", "DoRA: train the norms of the weights' rows by themselves, as --method dora does");

    public static readonly Setting<bool> BiasOnB = Make.Switch("lora_bias", "Give B a bias");

    public static readonly Setting<string> Init = new(
        "init_lora_weights", "true",
        "How A and B begin. true: uniform and 0; gaussian: normal and 0; orthogonal: B A = 0 with both random; pissa "
        + "(pissa_niter_4 is faster), olora: the base weight's main part; eva: the inputs' main directions; loftq: "
        + "corrects a 4-bit base; false: both uniform. For study: both_gaussian, both_zero, zero_a",
        "pissa", "one of " + string.Join(", ", LoraInitNames.All))
    {
        Read = (IReadOnlyList<string> texts, out string value) =>
            LoraInitNames.TryParse(value = texts.Count == 1 ? texts[0] : "", out _, out _),
        Write = value => [value],
    };

    public static readonly Setting<string[]> ModulesToSave = Make.List(
        "modules_to_save", "Modules trained in full and saved beside the adapter", "lm_head",
        "names of modules, separated by commas", aka: ["additional_target"], shown: "none");

    public static readonly Setting<string> Bias = Make.Choice(
        "bias", "Biases of the base that train too", "none", ["none", "all", "lora_only"], aka: ["lora_train_bias"]);

    /// <summary>All that concern the adapter.</summary>
    public static IReadOnlyList<Setting> All { get; } =
        [Rank, Alpha, Dropout, Targets, UseRsLora, UseDora, BiasOnB, Bias, Init, ModulesToSave];

    public static LoraConfig Config(SettingValues values, string baseModel)
    {
        var rank = values.Get(Rank);
        _ = LoraInitNames.TryParse(values.Get(Init), out var init, out var iterations);
        return new LoraConfig
        {
            R = rank,
            LoraAlpha = values.Get(Alpha) ?? 2 * rank,
            LoraDropout = values.Get(Dropout),
            TargetModules = Selector(values.Get(Targets)),
            UseRsLora = values.Get(UseRsLora),
            InitLoraWeights = init,
            PissaIterations = iterations,
            UseDora = values.Get(UseDora),
            BiasOnB = values.Get(BiasOnB),
            Bias = values.Get(Bias) switch
            {
                "all" => LoraBias.All,
                "lora_only" => LoraBias.LoraOnly,
                _ => LoraBias.None,
            },
            ModulesToSave = values.Get(ModulesToSave),
            BaseModel = baseModel,
        };
    }

    /// <summary>Refuses a rank that no layer can use, before memory is taken for it.</summary>
    /// <exception cref="UsageException">It is above the model's width, and above what one tries on any model.
    /// </exception>
    public static void CheckRank(SettingValues values, ModelConfig model)
    {
        var most = Math.Max(model.HiddenSize, UsualRanks);
        if (values.Get(Rank) > most)
            throw new UsageException($"{Rank.Flag} must be at most {most} with a hidden_size of {model.HiddenSize}, "
                + $"but is {values.Get(Rank)}");
    }

    // A single word of letters, digits, dots, dashes and underscores is a name, anything else an expression.
    public static ModuleSelector Selector(string[] names)
    {
        if (names is [ModuleSelector.AllLinearName]) return ModuleSelector.AllLinear;
        if (names.All(
            name => name.All(c => char.IsLetterOrDigit(c) || c is '_' or '.' or '-'))) return ModuleSelector.Of(names);
        try
        {
            return ModuleSelector.FromPattern(string.Join(',', names));
        }
        catch (RegexParseException e)
        {
            throw new UsageException($"{Targets.Flag} must be names or a regular expression, but got "
                + $"'{string.Join(',', names)}': {e.Message}");
        }
    }
}
