using CudaLora.Engine;
using CudaLora.Lora;

namespace CudaLora.Cli;

/// <summary>What is in an adapter folder, whatever its method.</summary>
internal static class AdapterTable
{
    public static void Print(Terminal terminal, string folder)
    {
        var json = JsonFields.Read(Path.Combine(folder, LoraConfig.FileName));
        switch (json.String("peft_type"))
        {
            case "ADALORA":
                PrintAdaLora(terminal, AdaLoraConfig.Read(folder));
                break;
            case "VERA":
                var vera = VeraConfig.Read(folder);
                terminal.Line($"adapter     VeRA, r {vera.R}, dropout {vera.Dropout}");
                PrintTargets(terminal, vera.Targets.BaseModel, vera.Targets.Modules);
                break;
            case "IA3":
                var ia3 = Ia3Config.Read(folder);
                terminal.Line("adapter     (IA)3");
                PrintTargets(terminal, ia3.Targets.BaseModel, ia3.Targets.Modules);
                terminal.Line($"inputs of   {ia3.Feedforward?.ToString() ?? "the family's defaults"}");
                break;
            case "PREFIX_TUNING" or "PROMPT_TUNING" or "P_TUNING":
                var tokens = VirtualTokenConfig.Read(folder);
                terminal.Line($"adapter     {NameOf(tokens)}, {tokens.Count} virtual tokens");
                terminal.Line($"base        {tokens.BaseModel ?? "not named"}");
                break;
            default:
                PrintLora(terminal, LoraConfig.Read(folder));
                break;
        }
    }

    private static string NameOf(VirtualTokenConfig config) => config.Kind switch
    {
        VirtualTokenKind.Prefix => config.PrefixProjection ? "prefix tuning by projection" : "prefix tuning",
        VirtualTokenKind.Prompt => "prompt tuning",
        _ => $"P-tuning by {(config.Lstm ? "LSTM" : "MLP")}",
    };

    private static void PrintLora(Terminal terminal, LoraConfig config)
    {
        var rule = (config.UseRsLora ? ", rsLoRA" : "") + (config.BiasOnB ? ", bias on B" : "");
        var name = config.UseDora ? "DoRA" : "LoRA";
        terminal.Line($"adapter     {name}, r {config.R}, alpha {config.LoraAlpha}{rule}, "
            + $"dropout {config.LoraDropout}");
        PrintTargets(terminal, config.BaseModel, config.TargetModules);
        if (config.ModulesToSave.Count > 0) terminal.Line($"in full     {string.Join(", ", config.ModulesToSave)}");
        if (config.Bias != LoraBias.None) terminal.Line($"biases      {config.Bias}");
    }

    private static void PrintAdaLora(Terminal terminal, AdaLoraConfig config)
    {
        terminal.Line($"adapter     AdaLoRA, r {config.InitR} to {config.TargetR} on average, "
            + $"alpha {config.Lora.LoraAlpha}, dropout {config.Lora.LoraDropout}");
        PrintTargets(terminal, config.Lora.BaseModel, config.Lora.TargetModules);
        if (config.RankPattern is { } pattern)
            RankMap.Print(
                terminal,
                [.. pattern.Select(p => (p.Key[..^".lora_E".Length], p.Value.Count(kept => kept)))], config.InitR);
    }

    private static void PrintTargets(Terminal terminal, string? baseModel, ModuleSelector? targets)
    {
        terminal.Line($"base        {baseModel ?? "not named"}");
        terminal.Line($"targets     {targets?.ToString() ?? "the family's defaults"}");
    }
}
