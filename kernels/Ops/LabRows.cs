namespace CudaLora.Kernels.Ops;

/// <summary>
/// The rows of a large result that a lab's oracle computes: all while that takes seconds, else some from everywhere.
/// </summary>
internal static class LabRows
{
    private const double Affordable = 3e8;
    private const int Few = 24;

    /// <summary>Rows to compare, given the multiplications that one takes.</summary>
    public static int[] Of(int rows, double perRow)
    {
        if (rows <= Few || rows * perRow <= Affordable) return [.. Enumerable.Range(0, rows)];
        // Evenly spread, the last included, and no multiple of a tile from one to the next.
        return [.. Enumerable.Range(0, Few).Select(i => (int)((long)i * (rows - 1) / (Few - 1)))];
    }

    /// <summary>Those rows of a matrix with <paramref name="cols"/> columns.</summary>
    public static float[] Pick(float[] matrix, int cols, int[] rows)
    {
        if ((long)rows.Length * cols == matrix.Length) return matrix;
        var picked = new float[rows.Length * cols];
        for (int i = 0; i < rows.Length; i++) Array.Copy(matrix, (long)rows[i] * cols, picked, (long)i * cols, cols);
        return picked;
    }
}
