using System.CommandLine;

namespace CudaLora.Cli;

/// <summary>Every command, in the order help lists them.</summary>
internal static class CommandList
{
    public static IEnumerable<Command> All(Terminal terminal)
    {
        yield return new DevicesCommand().On(terminal);
    }
}
