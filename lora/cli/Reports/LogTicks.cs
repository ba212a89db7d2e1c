using ScottPlot;

namespace CudaLora.Cli;

/// <summary>The numbers at an axis of logarithms to the base ten.</summary>
internal static class LogTicks
{
    /// <summary>Sets some values of each power of ten, the fewer the more powers there are.</summary>
    /// <param name="axis">The axis.</param>
    /// <param name="from">Its least logarithm.</param>
    /// <param name="to">Its greatest.</param>
    /// <param name="name">A value as text.</param>
    public static void Set(IAxis axis, double from, double to, Func<double, string> name)
    {
        double[] steps = (to - from) switch { > 4 => [1], > 1.2 => [1, 2, 5], _ => [1, 1.5, 2, 3, 4, 5, 7] };
        double[] at = [.. Enumerable.Range((int)Math.Floor(from), (int)(to - from) + 3)
            .SelectMany(power => steps.Select(step => step * Math.Pow(10, power)))
            .Where(value => Math.Log10(value) >= from && Math.Log10(value) <= to)];
        axis.SetTicks([.. at.Select(Math.Log10)], [.. at.Select(name)]);
    }
}
