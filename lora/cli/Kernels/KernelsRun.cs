using System.Globalization;
using CudaLora.Engine;
using CudaLora.Kernels.Driver;
using CudaLora.Kernels.Emulator;
using CudaLora.Kernels.Ops;
using CudaLora.Kernels.Runtime;

namespace CudaLora.Cli;

/// <summary><c>kernels run</c>.</summary>
internal static class KernelsRun
{
    public static int Run(
        Terminal terminal, KernelLab lab, string? shapeText, string device, int seed, bool lines, string format)
    {
        int[] shape = KernelsLab.Shape(lab, shapeText);
        var table = new KernelsTable("of", "value", "least", "ratio");
        LabRun run;
        LaunchReport? report = null;
        switch (device)
        {
            case "emulator":
                (run, report) = KernelsLab.Emulate(lab, shape, seed);
                Count(table, run, report);
                break;
            case "cuda":
                run = OnCuda(lab, shape, seed, table);
                break;
            default:
                throw new UsageException($"--device must be emulator or cuda, but got '{device}'");
        }
        if (format == "text")
            terminal.Line($"{lab.Entry} {KernelsLab.Text(shape)} on {device}: {run.Launch}");
        table.Write(terminal, format);
        if (lines && report is not null) Lines(terminal, report, format);
        string error = run.Error.ToString("0.0e+0", CultureInfo.InvariantCulture);
        string allowed = run.Tolerance.ToString("0.0e+0", CultureInfo.InvariantCulture);
        if (!run.Agrees)
            throw new UserErrorException($"[{lab.Entry}] is {error} from its oracle, allowed are {allowed}");
        if (format == "text") terminal.Line($"agrees with its oracle: error {error}, allowed {allowed}");
        return ExitCode.Success;
    }

    private static LabRun OnCuda(KernelLab lab, int[] shape, int seed, KernelsTable table)
    {
        if (!DriverProbe.TryFindCuda(out ICudaDriver? driver, out string reason))
            throw new UserErrorException($"--device cuda: {reason}");
        using CudaContext context = CudaContext.Open(driver);
        if (context.Properties.Capability < lab.Capability)
        {
            throw new UserErrorException(
                $"[{lab.Entry}] needs compute capability {lab.Capability / 10.0:F1}, but the device has "
                + $"{context.Properties.Capability / 10.0:F1}");
        }
        LabRun run = KernelsLab.Run(lab, context, shape, seed);
        table.Add("bytes", "-", KernelsLab.Text(run.MinimumBytes), "-");
        table.Add("flops", "-", KernelsLab.Text((long)run.Flops), "-");
        return run;
    }

    private static void Count(KernelsTable table, LabRun run, LaunchReport report)
    {
        Counters c = report.Counters;
        long bytes = c.GlobalReadBytes + c.GlobalWriteBytes, flops = c.ScalarFlops + c.TensorFlops;
        table.Add(
            "global bytes", KernelsLab.Text(bytes), KernelsLab.Text(run.MinimumBytes),
            KernelsLab.Ratio(bytes, run.MinimumBytes));
        table.Add(
            "32-byte sectors", KernelsLab.Text(c.GlobalSectors), KernelsLab.Text((bytes + 31) / 32),
            KernelsLab.Ratio(c.GlobalSectors, bytes / 32.0));
        table.Add(
            "bank conflicts", KernelsLab.Text(c.BankConflicts), "0",
            KernelsLab.Ratio(c.SharedAccesses + c.BankConflicts, c.SharedAccesses));
        table.Add(
            "flops", KernelsLab.Text(flops), KernelsLab.Text((long)run.Flops), KernelsLab.Ratio(flops, run.Flops));
        table.Add("of these on tensor cores", KernelsLab.Text(c.TensorFlops), "-", "-");
        table.Add("warp instructions", KernelsLab.Text(c.WarpInstructions), "-", "-");
        table.Add(
            "divergent branches", KernelsLab.Text(c.DivergentBranches), "0", "-");
        table.Add("atomics", KernelsLab.Text(c.Atomics), "-", "-");
        table.Add("registers (estimate)", KernelsLab.Text(report.Registers), "-", "-");
        table.Add("shared bytes", KernelsLab.Text(report.SharedBytes), "-", "-");
        table.Add("occupancy", report.Occupancy.ToString("P0", CultureInfo.InvariantCulture), "-", "-");
    }

    private static void Lines(Terminal terminal, LaunchReport report, string format)
    {
        var table = new KernelsTable("line", "text", "warp instr.", "sectors", "conflicts", "flops");
        foreach (LineCounters line in report.Lines)
        {
            Counters c = line.Counters;
            table.Add(
                line.Line.ToString(CultureInfo.InvariantCulture),
                line.Text.Length > 60 ? line.Text[..57] + "..." : line.Text, KernelsLab.Text(c.WarpInstructions),
                KernelsLab.Text(c.GlobalSectors), KernelsLab.Text(c.BankConflicts),
                KernelsLab.Text(c.ScalarFlops + c.TensorFlops));
        }
        table.Write(terminal, format);
    }
}
