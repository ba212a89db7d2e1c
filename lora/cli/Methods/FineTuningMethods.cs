using System.Text.RegularExpressions;
using CudaLora.Engine;
using CudaLora.Lora;

namespace CudaLora.Cli;

/// <summary>All values of <c>--method</c>.</summary>
internal static partial class FineTuningMethods
{
    public static IReadOnlyList<FineTuningMethod> All { get; } =
    [
        new LoraMethod("lora", "low-rank adapters", 1e-3),
        new LoraMethod("lora-plus", "LoRA whose B learns faster than A", 5e-4),
        new LoraMethod("qlora", "LoRA on a 4-bit base", 1e-3),
        new LoraMethod("dora", "LoRA with magnitudes apart from directions", 1e-3),
        new LoraMethod("lora-fa", "LoRA with A frozen", 2e-3),
        new AdaLoraMethod(),
        new VeraMethod(),
        new Ia3Method(),
        new VirtualTokenMethod("prefix", VirtualTokenKind.Prefix, "trained keys and values in front", 5e-2),
        new VirtualTokenMethod("prompt", VirtualTokenKind.Prompt, "trained tokens in front", 3e-2),
        new VirtualTokenMethod("p-tuning", VirtualTokenKind.PTuning, "tokens in front that an encoder makes", 3e-3),
        new PartialMethod("bitfit", "biases alone", 1e-2),
        new PartialMethod("last-layers", "the last blocks alone", 1e-3),
        new FullMethod(),
    ];

    /// <summary>The method that was chosen.</summary>
    public static FineTuningMethod Of(SettingValues values)
    {
        var name = values.Get(MethodSettings.Method);
        return All.First(method => method.Name == name);
    }

    /// <summary>Refuses settings of other methods.</summary>
    /// <exception cref="UsageException">Names the setting and the method.</exception>
    public static void CheckSettings(FineTuningMethod method, SettingValues values)
    {
        foreach (var setting in MethodSettings.All.Where(values.IsGiven))
        {
            if (Takes(method, setting))
                continue;
            var owner = All.First(m => Takes(m, setting));
            throw new UsageException($"{setting.Flag} needs --method {owner.Name}, but the method is {method.Name}");
        }
        if (!method.TakesQuantized && values.Get(QuantizeSettings.OnLoad) != "none")
            throw new UsageException(
                $"{QuantizeSettings.OnLoad.Flag} needs --method lora (4-bit weights are frozen), but the method is "
                + method.Name);
        if (values.IsGiven(MethodSettings.StartAdapter)
            && MethodSettings.All.FirstOrDefault(s => s != MethodSettings.StartAdapter && values.IsGiven(s)
                && !MethodSettings.Kept.Contains(s)) is { } fixedBy)
            throw new UsageException(
                $"{fixedBy.Flag} cannot be changed: --adapter goes on with an adapter that has its own");
    }

    /// <summary>Refuses settings that exclude each other or do not fit the model; no weight is read.</summary>
    /// <exception cref="UsageException">Names both settings, or the setting and the model's.</exception>
    public static void Check(FineTuningMethod method, SettingValues values, ModelConfig model)
    {
        var codes = values.Get(QuantizeSettings.OnLoad);
        if (codes != "none" && values.Get(AdapterSettings.ModulesToSave).FirstOrDefault(IsInsideBlock) is { } whole)
            throw new UsageException(
                $"{AdapterSettings.ModulesToSave.Flag} {whole} cannot be combined with {QuantizeSettings.OnLoad.Flag} "
                + $"{codes}: a layer that trains in full needs weights of floats");
        try
        {
            method.Check(values, model);
        }
        catch (UserErrorException e)
        {
            // A config speaks of its own fields; here they are flags.
            var flags = MethodSettings.All.ToDictionary(setting => setting.Key, setting => setting.Flag);
            flags["total_step"] = TrainSettings.MaxSteps.Flag;
            throw new UsageException(Word().Replace(
                e.Message, word => flags.GetValueOrDefault(word.Value, word.Value)));
        }
    }

    // One with an underscore: the others are words of the language too.
    [GeneratedRegex(@"\b[a-z]+(_[a-z]+)+\b|\b(tinit|tfinal)\b")]
    private static partial Regex Word();

    // Of the linear layers the output layer alone stays in floats.
    private static bool IsInsideBlock(string module) =>
        module[(module.LastIndexOf('.') + 1)..] is not ("embed_tokens" or "lm_head" or "score" or "wte" or "wpe");

    private static bool Takes(FineTuningMethod method, Setting setting) =>
        setting == MethodSettings.StartAdapter ? method.GoesOn : method.Settings.Contains(setting);
}
