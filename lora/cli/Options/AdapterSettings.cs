using System.Text.RegularExpressions;
using CudaLora.Lora;

namespace CudaLora.Cli;

/// <summary>Settings of the method and of LoRA, with PEFT's names.</summary>
internal static class AdapterSettings
{
    public static readonly Setting<string> Method = Make.Choice(
        "method", "Train an adapter, or every weight", "lora", ["lora", "full"], aka: ["finetuning_type"]);

    public static readonly Setting<string?> Adapter = Make.Text(
        "adapter", "Adapter folder in PEFT's layout", "out/alpaca", aka: ["adapter_name_or_path"]);

    public static readonly Setting<string?> StartAdapter = Make.Text(
        "adapter", "Go on training this adapter; its own r, alpha and targets count", "out/alpaca",
        aka: ["adapter_name_or_path"]);

    public static readonly Setting<int> Rank = Make.Int("r", "Rank", 8, "16", 1, aka: ["lora_r", "lora_rank"]);

    public static readonly Setting<double?> Alpha = Make.MaybeNumber(
        "lora_alpha", "The adapter's output is scaled by alpha / r", "32", "a number above 0", v => v > 0, "twice r");

    public static readonly Setting<double> Dropout = Make.Number(
        "lora_dropout", "Dropout on the adapter's input", 0, "0.05", "a number from 0 to below 1",
        v => v is >= 0 and < 1);

    public static readonly Setting<string[]> Targets = Make.List(
        "target_modules", "Layers that get an adapter: names, one regular expression, or all-linear", "q_proj,v_proj",
        "names of modules, separated by commas", ["all-linear"], aka: ["lora_target_modules", "lora_target"]);

    public static readonly Setting<bool> UseRsLora = Make.Switch("use_rslora", "Scale by alpha / sqrt(r)");

    public static readonly Setting<string> Init = Make.Choice(
        "init_lora_weights", "How A and B begin: true is uniform and 0, loftq corrects a 4-bit base", "true",
        ["true", "gaussian", "loftq", "false"]);

    public static readonly Setting<string[]> ModulesToSave = Make.List(
        "modules_to_save", "Modules trained in full and saved beside the adapter", "lm_head",
        "names of modules, separated by commas", aka: ["additional_target"], shown: "none");

    public static readonly SettingGroup Group = new(
        "Method", Method, StartAdapter, Rank, Alpha, Dropout, Targets, UseRsLora, Init, ModulesToSave);

    public static LoraConfig Config(SettingValues values, string baseModel)
    {
        var rank = values.Get(Rank);
        return new LoraConfig
        {
            R = rank,
            LoraAlpha = values.Get(Alpha) ?? 2 * rank,
            LoraDropout = values.Get(Dropout),
            TargetModules = Selector(values.Get(Targets)),
            UseRsLora = values.Get(UseRsLora),
            InitLoraWeights = values.Get(Init) switch
            {
                "gaussian" => LoraInit.Gaussian,
                "loftq" => LoraInit.LoftQ,
                "false" => LoraInit.Random,
                _ => LoraInit.Default,
            },
            ModulesToSave = values.Get(ModulesToSave),
            BaseModel = baseModel,
        };
    }

    // A single word of letters, digits, dots, dashes and underscores is a name, anything else an expression.
    private static ModuleSelector Selector(string[] names)
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
