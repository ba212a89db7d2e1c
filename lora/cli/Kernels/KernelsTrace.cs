using CudaLora.Kernels.Driver;
using CudaLora.Kernels.Emulator;
using CudaLora.Kernels.Ops;

namespace CudaLora.Cli;

/// <summary><c>kernels trace</c>: the life of one thread.</summary>
internal static class KernelsTrace
{
    public static int Run(
        Terminal terminal, KernelLab lab, string? shapeText, string blockText, int warp, int lane, int steps, int seed)
    {
        int[] shape = KernelsLab.Shape(lab, shapeText);
        int[] block = KernelsLab.Numbers("--block", blockText);
        if (block.Length > 3) throw new UsageException($"--block takes at most three numbers, but got '{blockText}'");
        if (lane is < 0 or > 31) throw new UsageException($"--lane must be 0 to 31, but got {lane}");
        if (warp < 0) throw new UsageException($"--warp must be 0 or more, but got {warp}");
        if (steps < 1) throw new UsageException($"--steps must be 1 or more, but got {steps}");
        var at = new Dim3((uint)block[0], (uint)block.ElementAtOrDefault(1), (uint)block.ElementAtOrDefault(2));
        string[] source = KernelSource.Read(lab.Stem).Split('\n');
        int seen = 0;
        var trace = new Trace(at, warp, lane, step =>
        {
            if (++seen > steps) return;
            string values = string.Join("  ", step.Values.Select(value => $"{value.Name}={value.Value}"));
            terminal.Line($"{step.Line,5}  {source[step.Line - 1].Trim(),-56}  {values}");
        });
        terminal.Line($"{lab.Entry} {KernelsLab.Text(shape)}, block {at}, warp {warp}, lane {lane}");
        (LabRun run, _) = KernelsLab.Emulate(lab, shape, seed, trace);
        if (seen == 0)
        {
            throw new UsageException(
                $"there is no block {at}, warp {warp}, lane {lane} in the launch ({run.Launch})");
        }
        if (seen > steps) terminal.Line($"... and {seen - steps} more; --steps {seen} shows all");
        return ExitCode.Success;
    }
}
