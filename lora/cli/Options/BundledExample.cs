namespace CudaLora.Cli;

/// <summary>The model and data that ship beside the executable.</summary>
internal static class BundledExample
{
    private static readonly string Folder = Path.Combine(AppContext.BaseDirectory, "bundled");

    /// <summary>A model folder.</summary>
    public static string Model => Path.Combine(Folder, "model");

    /// <summary>Instructions to learn.</summary>
    public static string Data => Path.Combine(Folder, "train.jsonl");

    /// <summary>Instructions held out.</summary>
    public static string EvalData => Path.Combine(Folder, "eval.jsonl");

    /// <summary>Settings that suit them; a config file.</summary>
    public static string Config => Path.Combine(Folder, "train.yaml");

    /// <summary>The model to use when none was named.</summary>
    /// <exception cref="UsageException">None is bundled.</exception>
    public static string RequireModel(string? given) => given
        ?? (Directory.Exists(Model) ? Model
        : throw Missing("--model", "a model folder, such as --model models/TinyStories-656K"));

    /// <summary>The data to use when none was named.</summary>
    /// <exception cref="UsageException">None is bundled.</exception>
    public static string RequireData(string? given) => given
        ?? (File.Exists(Data) ? Data : throw Missing("--data", "a data file, such as --data data/alpaca.json"));

    private static UsageException Missing(string flag, string what) =>
        new($"{flag} is needed ({what}): nothing is bundled at {Folder}");
}
