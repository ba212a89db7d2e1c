using CudaLora.Lora;

namespace CudaLora.Cli;

/// <summary><c>cudalora align</c>.</summary>
internal sealed class AlignCommand() : CliCommand(
    "align", "The three stages of RLHF on the bundled model: SFT, a reward model, PPO, with a report.",
    [
        new SettingGroup(
            "Run", Quick, Output, TrainSettings.Overwrite, PpoSteps, Judged, TrainSettings.Seed, TrainSettings.Resume),
        TrainSettings.Machine,
    ],
    [
        "cudalora align --quick --output out/align",
        "cudalora align --output out/align",
        "cudalora align --output out/align --resume-from-checkpoint true",
    ])
{
    private static readonly Setting<bool> Quick = Make.Switch(
        "quick", "SFT, reward model and PPO only; without it also DPO, GRPO, best-of-n and reward hacking, with more "
            + "of everything");

    private static readonly Setting<string?> Output = Make.Text(
        "output_dir", "Folder for the report and a folder per stage", "out/align", "out/align", aka: ["output"]);

    private static readonly Setting<int?> PpoSteps = Make.MaybeInt(
        "ppo_steps", "Steps of PPO", "20", 1, "40 with --quick, 50 without");

    private static readonly Setting<string> Judged = Make.Choice(
        "split", "Facts that figures are of; settings are chosen on validation, so that nothing is on test", "test",
        ["test", "validation"]);

    protected override int Run(SettingValues values, Terminal terminal)
    {
        var model = BundledExample.RequireModel(null);
        var output = values.Require(Output);
        var seed = values.Get(TrainSettings.Seed);
        var plan = values.Get(Quick) ? AlignPlan.Quick : AlignPlan.Full;
        if (values.Get(PpoSteps) is int steps) plan = plan with { PpoSteps = steps };
        if (values.Get(Judged) == "validation") plan = plan with { Judged = WorldPart.Validation };
        using var device = SharedSettings.Apply(values);
        terminal.Line(device.ToString());
        RunConfig.Write(Name, output, values, Settings, terminal);
        using var loaded = LoadedModel.Load(
            model, "auto", null, message => terminal.Line($"note: {message}"), device.Placement());
        return new AlignRun(loaded, plan, output, seed, terminal)
        {
            Resume = values.Get(TrainSettings.Resume) is { } resume && resume != "false",
            Facts = new RunFacts(
                values.CommandLine, RunConfig.ResumeCommand(Name, output), "alignment of the bundled model", model,
                "the bundled world", device.Device.Name, seed),
        }.Run(values.Get(SharedSettings.NoProgress));
    }
}
