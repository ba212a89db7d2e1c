using CudaLora.Kernels.Simd;

namespace CudaLora.Engine;

/// <summary>
/// W = U Σ Vᵀ of a matrix (m, n) with k = min(m, n), singular values falling. A QR step makes the matrix square, then
/// one-sided Jacobi rotations turn its columns until they are orthogonal (Demmel and Veselić 1992; Golub and Van Loan,
/// Matrix Computations, 8.6.3). Double precision; the result does not depend on the number of threads.
/// </summary>
public sealed class SingularValues
{
    private const int MostSweeps = 40;
    private const double Orthogonal = 1e-12;

    private SingularValues(Tensor u, float[] values, Tensor v) => (U, Values, V) = (u, values, v);

    /// <summary>U (m, k), orthonormal columns, F32 on the CPU, in the current scope.</summary>
    public Tensor U { get; }

    /// <summary>The k singular values, largest first.</summary>
    public IReadOnlyList<float> Values { get; }

    /// <summary>V (n, k), orthonormal columns, F32 on the CPU, in the current scope.</summary>
    public Tensor V { get; }

    /// <summary>Decomposes a matrix (m, n) of floats on the CPU.</summary>
    public static SingularValues Of(Tensor matrix)
    {
        var wide = matrix.Shape.Rank == 2 && matrix.Shape[0] < matrix.Shape[1];
        var (q, r) = QrDecomposition.Decompose(QrDecomposition.Columns(matrix, transposed: wide));
        var k = r.Length;
        // The rows of R: its transpose has nearly orthogonal columns sooner (Drmač and Veselić 2008).
        var left = new double[k][];
        for (var i = 0; i < k; i++)
        {
            left[i] = new double[k];
            for (var j = 0; j < k; j++)
                left[i][j] = r[j][i];
        }
        var turns = Rotate(left); // Rᵀ P = left, so R = P Σ left'ᵀ
        var norms = Array.ConvertAll(left, c => DoubleVectors.Norm(c));
        var order = Enumerable.Range(0, k).OrderByDescending(i => norms[i]).ToArray();
        Normalize(left, norms, order);
        var outer = Outer(q, turns, order);
        var inner = Array.ConvertAll(order, i => left[i]);
        var tall = QrDecomposition.FromColumns(outer, outer[0].Length);
        var square = QrDecomposition.FromColumns(inner, k);
        var values = Array.ConvertAll(order, i => (float)norms[i]);
        return wide ? new SingularValues(square, values, tall) : new SingularValues(tall, values, square);
    }

    // Sweeps over all pairs of columns, in rounds of disjoint pairs as in a tournament; returns the columns of P.
    private static double[][] Rotate(double[][] columns)
    {
        var k = columns.Length;
        var turns = new double[k][];
        for (var i = 0; i < k; i++)
        {
            turns[i] = new double[k];
            turns[i][i] = 1;
        }
        // Columns below this are rounding of the others.
        var floor = columns.Max(c => DoubleVectors.Dot(c, c)) * 1e-30;
        var seats = Enumerable.Range(0, k + (k & 1)).ToArray(); // k itself is the seat of nobody
        for (var sweep = 0; sweep < MostSweeps; sweep++)
        {
            var largest = 0.0;
            for (var round = 0; round < seats.Length - 1; round++)
            {
                var cosines = new double[seats.Length / 2];
                var body = new Round(columns, turns, seats, cosines, floor);
                Workers.Run(ref body, cosines.Length);
                largest = Math.Max(largest, cosines.Max());
                var last = seats[^1];
                seats.AsSpan(1, seats.Length - 2).CopyTo(seats.AsSpan(2));
                seats[1] = last;
            }
            if (largest <= Orthogonal)
                break;
        }
        return turns;
    }

    // A column of a zero singular value is nothing but rounding: it becomes one orthogonal to all others.
    private static void Normalize(double[][] columns, double[] norms, int[] order)
    {
        var smallest = norms[order[0]] * 1e-13;
        for (var at = 0; at < order.Length; at++)
        {
            var column = columns[order[at]];
            if (norms[order[at]] > smallest)
            {
                DoubleVectors.Scale(1 / norms[order[at]], column);
                continue;
            }
            norms[order[at]] = 0;
            Complete(column, order.AsSpan(0, at), columns);
        }
    }

    private static void Complete(double[] column, ReadOnlySpan<int> others, double[][] columns)
    {
        for (var unit = 0; unit < column.Length; unit++)
        {
            Array.Clear(column);
            column[unit] = 1;
            for (var pass = 0; pass < 2; pass++)
            {
                foreach (var other in others)
                {
                    var share = DoubleVectors.Dot(columns[other], column);
                    DoubleVectors.AddScaled(-share, columns[other], column);
                }
            }
            var norm = DoubleVectors.Norm(column);
            if (norm < 1e-2 / Math.Sqrt(column.Length))
                continue;
            DoubleVectors.Scale(1 / norm, column);
            return;
        }
    }

    // Columns of Q P in the order of the singular values.
    private static double[][] Outer(double[][] q, double[][] turns, int[] order)
    {
        var columns = Array.ConvertAll(order, _ => new double[q[0].Length]);
        var body = new Product(q, turns, order, columns);
        Workers.Run(ref body, order.Length);
        return columns;
    }

    private readonly struct Product(double[][] q, double[][] turns, int[] order, double[][] columns) : IParallelBody
    {
        public void Execute(int item)
        {
            var sum = columns[item];
            for (var i = 0; i < q.Length; i++)
                DoubleVectors.AddScaled(turns[order[item]][i], q[i], sum);
        }
    }

    private readonly struct Round(
        double[][] columns, double[][] turns, int[] seats, double[] cosines, double floor) : IParallelBody
    {
        public void Execute(int item)
        {
            var (i, j) = (seats[item], seats[^(item + 1)]);
            if (i >= columns.Length || j >= columns.Length)
                return;
            var (x, y) = (columns[i], columns[j]);
            var (a, b, g) = (DoubleVectors.Dot(x, x), DoubleVectors.Dot(y, y), DoubleVectors.Dot(x, y));
            if (Math.Min(a, b) <= floor)
                return;
            cosines[item] = Math.Abs(g) / Math.Sqrt(a * b);
            if (cosines[item] <= Orthogonal)
                return;
            var zeta = (b - a) / (2 * g);
            var t = (zeta < 0 ? -1 : 1) / (Math.Abs(zeta) + Math.Sqrt((zeta * zeta) + 1));
            var c = 1 / Math.Sqrt((t * t) + 1);
            DoubleVectors.Rotate(x, y, c, c * t);
            DoubleVectors.Rotate(turns[i], turns[j], c, c * t);
        }
    }
}
