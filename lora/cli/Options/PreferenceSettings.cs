namespace CudaLora.Cli;

/// <summary>Settings of the preference methods, with TRL's names and defaults.</summary>
internal static class PreferenceSettings
{
    public static readonly Setting<string?> Model = Make.Text(
        "model", "Model folder in Hugging Face layout", "models/TinyStories-656K", aka: ["model_name_or_path"],
        shown: "the bundled model");

    public static readonly Setting<string?> Data = Make.Text(
        "data", "Preference data, JSON or JSONL: prompt, chosen and rejected in one of their forms", "data/pairs.json",
        aka: ["dataset", "train_file"]);

    public static readonly Setting<string> Method = Make.Choice(
        "method", "Train a LoRA adapter, or every weight", "lora", ["lora", "full"], aka: ["finetuning_type"]);

    public static readonly Setting<double> Beta = Make.Number(
        "beta", "How strongly the policy is held to the reference, which is the model without its adapter", 0.1, "0.3",
        "a number above 0", v => v > 0, aka: ["pref_beta"]);

    public static readonly Setting<bool> Precompute = Make.Switch(
        "precompute_ref_log_probs", "Score all data with the reference before training, not in every step");

    /// <summary>What trains.</summary>
    public static SettingGroup MethodGroup() =>
        new("Method", [Method, MethodSettings.StartAdapter, .. AdapterSettings.All]);

    /// <summary>Whether a new adapter takes its values from the base, which changes it.</summary>
    public static bool TakesFromBase(SettingValues values) => values.Get(AdapterSettings.Init) is var init
        && (init == "olora" || init.StartsWith("pissa", StringComparison.Ordinal));

    /// <summary>Refuses beginnings that need what only <c>train</c> has.</summary>
    public static void CheckInit(SettingValues values, bool keepsBase = false)
    {
        var init = values.Get(AdapterSettings.Init);
        if (init is "eva" or "loftq")
            throw new UsageException($"{AdapterSettings.Init.Flag} {init} is for cudalora train");
        if (keepsBase && TakesFromBase(values))
            throw new UsageException($"{AdapterSettings.Init.Flag} {init} changes the base, but the base without the "
                + "adapter is the reference");
    }

    /// <summary>The data group; what is specific to a method comes after the shared ones.</summary>
    public static SettingGroup DataGroup() => new(
        "Model and data", Model, Data, DataSettings.EvalData, DataSettings.ValSize, DataSettings.Template,
        DataSettings.MaxLength, DataSettings.GroupByLength, DataSettings.MaxSamples, DataSettings.MaxEvalSamples);
}
