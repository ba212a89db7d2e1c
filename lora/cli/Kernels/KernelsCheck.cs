using System.Globalization;
using CudaLora.Engine;
using CudaLora.Kernels.Driver;
using CudaLora.Kernels.Emulator;
using CudaLora.Kernels.Ptx;

namespace CudaLora.Cli;

/// <summary><c>kernels check</c>: any PTX file through the parser, the emulator's decoder and ptxas.</summary>
internal static class KernelsCheck
{
    public static int Run(Terminal terminal, string file)
    {
        string text;
        try
        {
            text = File.ReadAllText(file);
        }
        catch (Exception error) when (error is IOException or UnauthorizedAccessException)
        {
            throw new UserErrorException(
                File.Exists(file) ? $"{file}: cannot be read: {error.Message}"
                : Directory.Exists(file) ? $"{file}: must be a PTX file, but is a folder"
                : $"{file}: the file does not exist", error);
        }
        PtxModule module;
        try
        {
            module = PtxModule.Parse(text, file);
            using var emulator = new Emulator();
            using EmulatedModule loaded = emulator.Load(module);
        }
        catch (PtxException error)
        {
            throw new UserErrorException(error.Message, error);
        }
        terminal.Line(string.Create(
            CultureInfo.InvariantCulture,
            $"{file}: PTX {module.Version / 10.0:0.0} for {module.Target}, {module.Entries.Count} entries"));
        foreach (PtxEntry entry in module.Entries)
            terminal.Line($"  {entry.Name}: {entry.Parameters.Count} parameters, {entry.ParameterBytes} bytes");

        Ptxas? ptxas = Ptxas.Find();
        if (ptxas is null)
        {
            terminal.Line("parsed; not assembled: no ptxas on this machine (kernels/ptxas.sh fetches one)");
            return ExitCode.Success;
        }
        AssemblyResult result = ptxas.Assemble(file, module.Target);
        if (!result.Success) throw new UserErrorException($"ptxas {ptxas.Version()}: {result.Output}");
        var table = new KernelsTable("entry", "target", "registers", "spilled", "stack", "shared", "barriers");
        foreach (EntryCost cost in result.Log.Entries)
        {
            table.Add(
                cost.Entry, cost.Target, KernelsLab.Text(cost.Registers), KernelsLab.Text(cost.SpillBytes),
                KernelsLab.Text(cost.StackBytes), KernelsLab.Text(cost.SharedBytes), KernelsLab.Text(cost.Barriers));
        }
        table.Write(terminal, "text");
        foreach (string warning in result.Log.Warnings) terminal.Line(warning);
        terminal.Line($"parsed and assembled by ptxas {ptxas.Version()}");
        return ExitCode.Success;
    }
}
