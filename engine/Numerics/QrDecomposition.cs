using CudaLora.Kernels.Simd;

namespace CudaLora.Engine;

/// <summary>
/// W = Q R of a matrix (m, n) with k = min(m, n): Q (m, k) has orthonormal columns, R (k, n) is upper triangular with a
/// diagonal that is not negative. By Householder reflections in double precision (Golub and Van Loan, Matrix
/// Computations, 5.2).
/// </summary>
public sealed class QrDecomposition
{
    private QrDecomposition(Tensor q, Tensor r) => (Q, R) = (q, r);

    /// <summary>Q (m, k), F32 on the CPU, in the current scope.</summary>
    public Tensor Q { get; }

    /// <summary>R (k, n), F32 on the CPU, in the current scope.</summary>
    public Tensor R { get; }

    /// <summary>Decomposes a matrix (m, n) of floats on the CPU.</summary>
    public static QrDecomposition Of(Tensor matrix)
    {
        var columns = Columns(matrix);
        var (q, r) = Decompose(columns);
        var (m, n, k) = (columns[0].Length, columns.Length, q.Length);
        var right = Tensor.Empty(Shape.Of(k, n), device: Device.Cpu);
        var to = right.Span<float>();
        for (var i = 0; i < k; i++)
        {
            for (var j = 0; j < n; j++)
                to[(i * n) + j] = (float)r[j][i];
        }
        return new QrDecomposition(FromColumns(q, m), right);
    }

    /// <summary>The columns of a matrix in double precision.</summary>
    internal static double[][] Columns(Tensor matrix, bool transposed = false)
    {
        Tensor.RequireF32("qr", matrix);
        if (matrix.Shape.Rank != 2 || matrix.Count == 0 || matrix.Device.Kind != DeviceKind.Cpu)
            throw new ArgumentException($"[qr] a matrix on the CPU that is not empty expected, but got {matrix.Shape}");
        var (m, n) = (matrix.Shape[0], matrix.Shape[1]);
        var columns = new double[transposed ? m : n][];
        var values = matrix.Span<float>();
        for (var j = 0; j < columns.Length; j++)
        {
            var column = columns[j] = new double[transposed ? n : m];
            for (var i = 0; i < column.Length; i++)
                column[i] = transposed ? values[(j * n) + i] : values[(i * n) + j];
        }
        return columns;
    }

    /// <summary>A matrix (length, columns) of floats.</summary>
    internal static Tensor FromColumns(double[][] columns, int length)
    {
        var matrix = Tensor.Empty(Shape.Of(length, columns.Length), device: Device.Cpu);
        var to = matrix.Span<float>();
        for (var j = 0; j < columns.Length; j++)
        {
            for (var i = 0; i < length; i++)
                to[(i * columns.Length) + j] = (float)columns[j][i];
        }
        return matrix;
    }

    /// <summary>
    /// Columns of Q and of R; those of R have k entries. The columns given are used as work memory.
    /// </summary>
    internal static (double[][] Q, double[][] R) Decompose(double[][] w)
    {
        var (m, n) = (w[0].Length, w.Length);
        var k = Math.Min(m, n);
        var vectors = new double[k][];
        for (var i = 0; i < k; i++)
        {
            var v = vectors[i] = w[i][i..];
            var norm = DoubleVectors.Norm(v);
            v[0] += v[0] < 0 ? -norm : norm;
            var length = DoubleVectors.Norm(v);
            if (length > 0)
                DoubleVectors.Scale(1 / length, v);
            Reflect(w, v, i, i);
        }
        var q = new double[k][];
        for (var j = 0; j < k; j++)
        {
            q[j] = new double[m];
            q[j][j] = 1;
        }
        for (var i = k - 1; i >= 0; i--)
            Reflect(q, vectors[i], i, i);
        var r = new double[n][];
        for (var j = 0; j < n; j++)
        {
            r[j] = w[j][..k];
            r[j].AsSpan(Math.Min(k, j + 1)).Clear();
        }
        for (var i = 0; i < k; i++)
        {
            if (r[i][i] >= 0)
                continue;
            DoubleVectors.Scale(-1, q[i]);
            foreach (var column in r)
                column[i] = -column[i];
        }
        return (q, r);
    }

    // Columns from `first` on, below row `top`: c -= 2 v (v·c).
    private static void Reflect(double[][] columns, double[] v, int first, int top)
    {
        var body = new Reflection(columns, v, first, top);
        Workers.Run(ref body, columns.Length - first);
    }

    private readonly struct Reflection(double[][] columns, double[] v, int first, int top) : IParallelBody
    {
        public void Execute(int item)
        {
            var part = columns[first + item].AsSpan(top);
            DoubleVectors.AddScaled(-2 * DoubleVectors.Dot(v, part), v, part);
        }
    }
}
