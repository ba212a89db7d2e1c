using CudaLora.Engine;

namespace CudaLora.Lora;

/// <summary>Opens adapter folders of any method, by the <c>peft_type</c> of their config.</summary>
public static class AdapterFolder
{
    private static readonly (string Type, Loader Load)[] Types =
    [
        ("LORA", LoraAdapter.Load), ("ADALORA", AdaLoraAdapter.Load), ("VERA", VeraAdapter.Load),
        ("IA3", Ia3Adapter.Load), ("PREFIX_TUNING", VirtualTokenAdapter.Load),
        ("PROMPT_TUNING", VirtualTokenAdapter.Load), ("P_TUNING", VirtualTokenAdapter.Load),
    ];

    private delegate ModelAdapter Loader(CausalLM model, string folder, string name, Generator? random);

    /// <summary>The adapter of a folder, active and frozen.</summary>
    /// <exception cref="UserErrorException">Not an adapter folder, a method that is not known, or made for another
    /// base.</exception>
    public static ModelAdapter Load(CausalLM model, string folder, string name = "default", Generator? random = null)
    {
        var json = Config(folder);
        var type = json.String("peft_type");
        foreach (var (known, load) in Types)
        {
            if (known == type)
                return load(model, folder, name, random);
        }
        throw json.Refuse("peft_type", "one of " + string.Join(", ", Types.Select(t => t.Type)));
    }

    /// <summary>The base model that an adapter folder names, or null: <c>base_model_name_or_path</c>.</summary>
    /// <exception cref="UserErrorException">Not an adapter folder.</exception>
    public static string? BaseModel(string folder) => Config(folder).String("base_model_name_or_path");

    /// <summary>The config of an adapter folder.</summary>
    internal static JsonFields Config(string folder) => JsonFields.Read(Path.Combine(folder, LoraConfig.FileName));
}
