using System.Globalization;
using CudaLora.Kernels.Ops;
using CudaLora.Kernels.Ptx;

namespace CudaLora.Cli;

/// <summary><c>kernels list</c> and <c>kernels show</c>.</summary>
internal static class KernelsShow
{
    public static int List(Terminal terminal, string format)
    {
        var table = new KernelsTable("kernel", "file", "target", "shape", "what it does");
        foreach (KernelLab lab in KernelsCommand.Labs)
        {
            table.Add(
                lab.Entry, lab.Stem + ".ptx", Parse(lab.Stem).Target, string.Join(", ", lab.ShapeNames), lab.Summary);
        }
        table.Write(terminal, format);
        return ExitCode.Success;
    }

    public static int Show(Terminal terminal, string name)
    {
        string? stem = KernelSource.Stems.FirstOrDefault(
            known => known.Equals(name, StringComparison.OrdinalIgnoreCase));
        if (stem is not null)
        {
            terminal.Output.Write(KernelSource.Read(stem));
            return ExitCode.Success;
        }
        KernelLab lab = KernelsCommand.Find(name);
        PtxModule module = Parse(lab.Stem);
        string[] lines = module.Text.Split('\n');
        foreach (string line in lines.TakeWhile(line => line.StartsWith("//", StringComparison.Ordinal)))
            terminal.Line(line);
        terminal.Line();
        PtxEntry entry = module.FindEntry(lab.Entry)!;
        var table = new KernelsTable("parameter", "type", "offset", "bytes", "alignment");
        foreach (PtxParameter parameter in entry.Parameters)
        {
            table.Add(
                parameter.Name, parameter.Type.ToString().ToLowerInvariant(), Number(parameter.Offset),
                Number(parameter.Size), Number(parameter.Alignment));
        }
        table.Write(terminal, "text");
        terminal.Line($"{lab.Stem}.ptx, {module.Target}, parameters: {lab.Args.FullName}");
        terminal.Line();
        // From the entry's first line to the brace that closes it in the first column.
        for (int i = entry.Line - 1; i < lines.Length; i++)
        {
            terminal.Line($"{i + 1,5}  {lines[i]}");
            if (lines[i].StartsWith('}')) break;
        }
        return ExitCode.Success;
    }

    private static PtxModule Parse(string stem) => PtxModule.Parse(KernelSource.Read(stem), stem + ".ptx");

    private static string Number(int value) => value.ToString(CultureInfo.InvariantCulture);
}
