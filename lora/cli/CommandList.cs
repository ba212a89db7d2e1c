using System.CommandLine;

namespace CudaLora.Cli;

/// <summary>Every command, in the order help lists them.</summary>
internal static class CommandList
{
    public static IEnumerable<Command> All(Terminal terminal)
    {
        yield return new TrainCommand().On(terminal);
        yield return new RewardCommand().On(terminal);
        yield return new DpoCommand().On(terminal);
        yield return new KtoCommand().On(terminal);
        yield return new OrpoCommand().On(terminal);
        yield return new PpoCommand().On(terminal);
        yield return new GrpoCommand().On(terminal);
        yield return new BestOfNCommand().On(terminal);
        yield return new AlignCommand().On(terminal);
        yield return new GenerateCommand().On(terminal);
        yield return new EvalCommand().On(terminal);
        yield return new CompareCommand().On(terminal);
        yield return LabCommand.Create(terminal);
        yield return new MergeCommand().On(terminal);
        yield return new QuantizeCommand().On(terminal);
        yield return new InspectCommand().On(terminal);
        yield return new PretrainCommand().On(terminal);
        yield return new ExampleCommand().On(terminal);
        yield return new BenchCommand().On(terminal);
        yield return new DevicesCommand().On(terminal);
        yield return KernelsCommand.Create(terminal);
    }
}
