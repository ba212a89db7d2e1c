using CudaLora.Engine;

namespace CudaLora.Cli;

/// <summary>training_args.yaml: the options of a run in its output folder, so that it can be run again or
/// resumed.</summary>
internal static class RunConfig
{
    public const string FileName = "training_args.yaml";

    /// <summary>Makes the output folder and writes the file; so a folder that cannot be written, or that holds a run
    /// which is not finished, is found first.</summary>
    /// <exception cref="UserErrorException">The folder cannot be used.</exception>
    public static void Write(
        string command, string folder, SettingValues values, IEnumerable<Setting> settings, Terminal terminal)
    {
        var kept = settings.Except(
            [
                SharedSettings.Config, SharedSettings.Debug, SharedSettings.NoProgress, TrainSettings.Resume,
                TrainSettings.Overwrite,
            ]);
        OutputFolder.Prepare(folder, values, terminal);
        ConfigFile.Write(
            Path.Combine(folder, FileName), $"cudalora {command} --config {FileName}", values.Given(kept));
    }

    /// <summary>The command that goes on with a run.</summary>
    public static string ResumeCommand(string command, string folder) => Shell.Line(
        command, "--config", Path.Combine(folder, FileName), TrainSettings.OutputDir.Flag, folder,
        TrainSettings.Resume.Flag, "true");
}
