using System.Globalization;
using CudaLora.Kernels.Driver;
using CudaLora.Kernels.Emulator;
using CudaLora.Kernels.Ops;

namespace CudaLora.Cli;

/// <summary><c>kernels report</c>.</summary>
internal static class KernelsReport
{
    public static int Run(Terminal terminal, string format)
    {
        var table = new KernelsTable(
            "kernel", "shape", "least bytes", "bytes", "vs least", "sectors", "vs bytes", "conflicts", "flops",
            "on tensor cores", "instr.", "regs", "spills", "shared", "occupancy", "oracle", "note");
        bool agree = true;
        foreach (KernelLab lab in KernelsCommand.Labs)
        {
            (LabRun run, LaunchReport report) = KernelsLab.Emulate(lab, lab.DefaultShape, seed: 1);
            Counters c = report.Counters;
            RegisterRow? assembled = RegisterTable.Find(lab.Entry);
            long bytes = c.GlobalReadBytes + c.GlobalWriteBytes, flops = c.ScalarFlops + c.TensorFlops;
            agree &= run.Agrees;
            table.Add(
                lab.Entry, KernelsLab.Text(lab.DefaultShape), KernelsLab.Text(run.MinimumBytes),
                KernelsLab.Text(bytes), KernelsLab.Ratio(bytes, run.MinimumBytes),
                KernelsLab.Text(c.GlobalSectors), KernelsLab.Ratio(c.GlobalSectors, bytes / 32.0),
                KernelsLab.Text(c.BankConflicts), KernelsLab.Ratio(flops, run.Flops),
                flops == 0 ? "-" : ((double)c.TensorFlops / flops).ToString("P0", CultureInfo.InvariantCulture),
                KernelsLab.Text(c.WarpInstructions),
                KernelsLab.Text(assembled?.Registers ?? report.Registers),
                assembled is null ? "-" : KernelsLab.Text(assembled.SpillBytes),
                KernelsLab.Text(report.SharedBytes), report.Occupancy.ToString("P0", CultureInfo.InvariantCulture),
                run.Agrees ? "agrees" : "DIFFERS", lab.Note ?? "-");
        }
        table.Write(terminal, format);
        if (format == "text")
        {
            terminal.Line("bytes: asked of global memory; vs least: every input read once, every output written once;");
            terminal.Line(
                "sectors of 32 bytes, and over bytes / 32; flops: counted over the formula's; 1.00x is ideal; regs and");
            terminal.Line("spilled bytes: ptxas, kernels/registers.md.");
            terminal.Line("Edges of small shapes weigh: 'cudalora kernels run NAME --shape ...' takes a larger one.");
        }
        return agree ? ExitCode.Success : ExitCode.Failure;
    }
}
