using CudaLora.Engine;
using CudaLora.Lora;

namespace CudaLora.Cli;

/// <summary>
/// The folder that a command writes to. A finished run there is replaced. One that is not finished is left as it is,
/// unless the user says otherwise. Checkpoints of two runs never lie together: they would take turns in being deleted,
/// and one could be resumed as the other.
/// </summary>
internal static class OutputFolder
{
    /// <summary>Makes the folder, or makes sure that a run may begin in it.</summary>
    /// <param name="folder">The folder.</param>
    /// <param name="values">What the user set: whether to resume or to start over.</param>
    /// <param name="terminal">Where it is said that a run is replaced.</param>
    /// <exception cref="UserErrorException">It is a file, cannot be made, or holds a run that is not
    /// finished.</exception>
    public static void Prepare(string folder, SettingValues values, Terminal terminal)
    {
        if (File.Exists(folder))
            throw new UserErrorException($"--output {folder}: must be a folder, but is a file");
        try
        {
            Directory.CreateDirectory(folder);
            if (Resumes(folder, values.Get(TrainSettings.Resume))) return;
            var checkpoints = Checkpoints(folder);
            if (checkpoints.Length == 0 && !File.Exists(Path.Combine(folder, TrainerState.FileName))) return;
            var summary = Path.Combine(folder, RunSummary.FileName);
            if (!File.Exists(summary) && !values.Get(TrainSettings.Overwrite))
            {
                throw new UserErrorException($"--output {folder}: holds a run that is not finished; go on with it by "
                    + $"{TrainSettings.Resume.Flag} true, name another folder, or replace it by "
                    + TrainSettings.Overwrite.Flag);
            }
            terminal.Line($"note: {folder} held another run, which this one replaces");
            foreach (var checkpoint in checkpoints) Directory.Delete(checkpoint, recursive: true);
            File.Delete(summary);
        }
        catch (Exception e) when (e is IOException or UnauthorizedAccessException)
        {
            throw new UserErrorException($"--output {folder}: cannot be used: {e.Message}", e);
        }
    }

    /// <summary>Makes sure that a folder can take a model: its files would mix with those of an adapter.</summary>
    /// <exception cref="UserErrorException">It is a file, or holds an adapter.</exception>
    public static void CheckForModel(string folder)
    {
        if (File.Exists(folder))
            throw new UserErrorException($"--output {folder}: must be a folder, but is a file");
        if (File.Exists(Path.Combine(folder, LoraConfig.FileName)))
            throw new UserErrorException($"--output {folder}: holds an adapter; name another folder for the model");
    }

    private static bool Resumes(string folder, string? from) =>
        from is not null && !from.Equals("false", StringComparison.OrdinalIgnoreCase)
        && (from.Equals("true", StringComparison.OrdinalIgnoreCase)
            || Path.GetDirectoryName(Path.TrimEndingDirectorySeparator(Path.GetFullPath(from)))
                == Path.TrimEndingDirectorySeparator(Path.GetFullPath(folder)));

    // A run's own, and those of the stages of align, which are folders within it.
    private static string[] Checkpoints(string folder) =>
    [
        .. Directory.EnumerateDirectories(folder).SelectMany(inner => IsCheckpoint(inner)
            ? [inner]
            : HasConfig(folder) && !HasConfig(inner)
                ? Directory.EnumerateDirectories(inner).Where(IsCheckpoint)
                : []),
    ];

    private static bool HasConfig(string folder) => File.Exists(Path.Combine(folder, RunConfig.FileName));

    private static bool IsCheckpoint(string folder) =>
        Path.GetFileName(folder).StartsWith("checkpoint-", StringComparison.Ordinal)
        && File.Exists(Path.Combine(folder, TrainerState.FileName));
}
