using System.Globalization;
using CudaLora.Engine;

namespace CudaLora.Lora;

/// <summary>The <c>checkpoint-N</c> folders of a run.</summary>
internal static class CheckpointFolders
{
    private const string Prefix = "checkpoint-";

    public static string PathOf(string outputDir, int step) => Path.Combine(outputDir, $"{Prefix}{step}");

    /// <summary>Resolves what the user asked to resume from; null when there is nothing to resume.</summary>
    public static string? Resolve(string outputDir, string? resumeFrom)
    {
        if (resumeFrom is null || resumeFrom.Equals("false", StringComparison.OrdinalIgnoreCase))
            return null;
        if (!resumeFrom.Equals("true", StringComparison.OrdinalIgnoreCase))
            return Directory.Exists(resumeFrom)
                ? resumeFrom
                : throw new UserErrorException($"--resume-from-checkpoint: no such folder: {resumeFrom}");
        return List(outputDir).LastOrDefault().Folder
            ?? throw new UserErrorException($"--resume-from-checkpoint: no {Prefix}N folder in {outputDir}");
    }

    /// <summary>Complete checkpoints by step, oldest first.</summary>
    public static List<(int Step, string Folder)> List(string outputDir)
    {
        if (!Directory.Exists(outputDir))
            return [];
        var found = new List<(int Step, string Folder)>();
        foreach (var folder in Directory.EnumerateDirectories(outputDir, Prefix + "*"))
        {
            var number = Path.GetFileName(folder)[Prefix.Length..];
            if (int.TryParse(number, NumberStyles.None, CultureInfo.InvariantCulture, out var step)
                && File.Exists(Path.Combine(folder, TrainerState.FileName)))
                found.Add((step, folder));
        }
        found.Sort();
        return found;
    }

    /// <summary>Deletes the oldest beyond <paramref name="limit"/>, never the best one nor the newest.</summary>
    public static void Rotate(string outputDir, int limit, string? best)
    {
        if (limit <= 0)
            return;
        var folders = List(outputDir);
        var surplus = folders.Count - limit;
        foreach (var (_, folder) in folders.SkipLast(1))
        {
            if (surplus <= 0)
                return;
            if (best is not null && Path.GetFullPath(best) == Path.GetFullPath(folder))
                continue;
            Directory.Delete(folder, recursive: true);
            surplus--;
        }
    }
}
