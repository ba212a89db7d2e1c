using CudaLora.Engine;
using CudaLora.Lora;

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

    /// <summary>The model to use when none was named: the adapter's base, if there, else the bundled one.</summary>
    /// <exception cref="UsageException">None is bundled.</exception>
    /// <exception cref="UserErrorException">The adapter is of a model that is not here.</exception>
    public static string RequireModel(string? given, string? adapter = null) => given
        ?? BaseOf(adapter)
        ?? (Directory.Exists(Model) ? Model
        : throw Missing("--model", "a model folder, such as --model models/TinyStories-656K"));

    /// <summary>The data to use when none was named.</summary>
    /// <exception cref="UsageException">None is bundled.</exception>
    public static string RequireData(string? given) => given
        ?? (File.Exists(Data) ? Data : throw Missing("--data", "a data file, such as --data data/alpaca.json"));

    /// <summary>The held-out data to use when none was named: the bundled model's own, for that alone.</summary>
    /// <exception cref="UsageException">It is another model.</exception>
    public static string RequireEvalData(string? given, string model) => given
        ?? (Path.GetFullPath(model) == Path.GetFullPath(Model) && File.Exists(EvalData) ? EvalData
        : throw new UsageException("--data is needed: the records to score, such as --data data/alpaca.json"));

    private static string? BaseOf(string? adapter)
    {
        if (adapter is null || !File.Exists(Path.Combine(adapter, LoraConfig.FileName))
            || AdapterFolder.BaseModel(adapter) is not { Length: > 0 } folder)
            return null;
        if (Directory.Exists(folder)) return folder;
        // The bundled model lies beside each copy of the program.
        return folder.Replace('\\', '/').EndsWith("bundled/model", StringComparison.Ordinal)
            ? null
            : throw new UserErrorException(
                $"{adapter}: is an adapter of {folder}, which is no folder here: name its model with --model");
    }

    private static UsageException Missing(string flag, string what) =>
        new($"{flag} is needed ({what}): nothing is bundled at {Folder}");
}
