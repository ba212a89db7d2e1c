using System.CommandLine;

namespace CudaLora.Cli;

/// <summary>Every command, in the order help lists them.</summary>
internal static class CommandList
{
    private static readonly (string Name, Func<Terminal, Command> Make)[] Commands =
    [
        ("train", terminal => new TrainCommand().On(terminal)),
        ("reward", terminal => new RewardCommand().On(terminal)),
        ("dpo", terminal => new DpoCommand().On(terminal)),
        ("kto", terminal => new KtoCommand().On(terminal)),
        ("orpo", terminal => new OrpoCommand().On(terminal)),
        ("ppo", terminal => new PpoCommand().On(terminal)),
        ("grpo", terminal => new GrpoCommand().On(terminal)),
        ("best-of-n", terminal => new BestOfNCommand().On(terminal)),
        ("align", terminal => new AlignCommand().On(terminal)),
        ("generate", terminal => new GenerateCommand().On(terminal)),
        ("eval", terminal => new EvalCommand().On(terminal)),
        ("compare", terminal => new CompareCommand().On(terminal)),
        ("lab", terminal => LabCommand.Create(terminal)),
        ("merge", terminal => new MergeCommand().On(terminal)),
        ("quantize", terminal => new QuantizeCommand().On(terminal)),
        ("inspect", terminal => new InspectCommand().On(terminal)),
        ("pretrain", terminal => new PretrainCommand().On(terminal)),
        ("example", terminal => new ExampleCommand().On(terminal)),
        ("bench", terminal => new BenchCommand().On(terminal)),
        ("devices", terminal => new DevicesCommand().On(terminal)),
        ("kernels", terminal => KernelsCommand.Create(terminal)),
    ];

    public static IEnumerable<Command> All(Terminal terminal) => Commands.Select(command => command.Make(terminal));

    /// <summary>The command of that name alone: the options of the others are not made for nothing. All if there is
    /// none.</summary>
    public static IEnumerable<Command> Named(string? name, Terminal terminal)
    {
        var known = Array.FindIndex(Commands, command => command.Name == name);
        return known < 0 ? All(terminal) : [Commands[known].Make(terminal)];
    }
}
