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
        int seen = 0, line = 0;
        var trace = new Trace(at, warp, lane, step =>
        {
            if (++seen > steps) return;
            if (step.Line != line)
            {
                foreach (string comment in Comments(source, line = step.Line)) terminal.Line($"{"",5}  {comment}");
            }
            string values = string.Join("  ", step.Values.Select(value => $"{value.Name}={value.Value}"));
            terminal.Line($"{step.Line,5}  {Statement(source, step.Line, step.Column),-56}  {values}".TrimEnd());
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

    /// <summary>The statement whose opcode is at a column: a line of the source may hold several, and one may go over
    /// several lines.</summary>
    internal static string Statement(string[] source, int line, int column)
    {
        string text = source[line - 1];
        int from = column <= 1 ? 0 : text.LastIndexOf(';', column - 2) + 1;
        int to = text.IndexOf(';', column - 1);
        if (to >= 0) return text[from..(to + 1)].Trim();
        var statement = text[from..].Trim();
        for (int next = line; next < source.Length; next++)
        {
            to = source[next].IndexOf(';', StringComparison.Ordinal);
            statement += " " + (to < 0 ? source[next] : source[next][..(to + 1)]).Trim();
            if (to >= 0) break;
        }
        return statement;
    }

    // What the author says right above a line, labels aside.
    private static IEnumerable<string> Comments(string[] source, int line)
    {
        int first = line - 1;
        while (first > 0 && source[first - 1].Trim() is var above
            && (above.StartsWith("//", StringComparison.Ordinal) || above.EndsWith(':')))
            first--;
        return source[first..(line - 1)].Select(text => text.Trim())
            .Where(text => text.StartsWith("//", StringComparison.Ordinal));
    }
}
