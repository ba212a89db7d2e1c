namespace CudaLora.Tests.Ops;

/// <summary>Double-precision formulas of ops that work row by row.</summary>
internal static class OpRows
{
    /// <summary>
    /// What <paramref name="formula"/> makes of each row of <paramref name="cols"/> values, in order.
    /// </summary>
    public static double[] Map(double[] values, int cols, Func<double[], double[]> formula) =>
        [.. values.Chunk(cols).SelectMany(formula)];
}
