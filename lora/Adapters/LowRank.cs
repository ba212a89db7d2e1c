using CudaLora.Engine;
using CudaLora.Kernels.Simd;

namespace CudaLora.Lora;

/// <summary>
/// The best product of two thin matrices for a large one, by randomised subspace iteration (Halko, Martinsson and Tropp
/// 2011, arXiv 0909.4061).
/// </summary>
internal static unsafe class LowRank
{
    private const int Oversampling = 8;

    // A quantisation error is close to white, its singular values close to each other: more than the usual two.
    private const int Iterations = 6;

    /// <summary>
    /// B A near R (n, k): A (r, k) = √Σ Vᵀ and B (n, r) = U √Σ of the largest r singular values.
    /// </summary>
    public static void Factor(
        Tensor matrix, Tensor a, Tensor b, Generator random, int iterations = Iterations)
    {
        var (n, k, r) = (matrix.Shape[0], matrix.Shape[1], a.Shape[0]);
        var p = Math.Min(r + Oversampling, Math.Min(n, k));
        using var scope = TensorScope.Begin();
        var rows = Tensor.Empty(Shape.Of(p, k), device: Device.Cpu); // Zᵀ, an orthonormal basis of row space
        var columns = Tensor.Empty(Shape.Of(p, n), device: Device.Cpu); // Qᵀ, of column space
        RandomParameters.Fill(rows, Initializer.Normal(1), random);
        float* m = matrix.Pointer<float>(), z = rows.Pointer<float>(), q = columns.Pointer<float>();
        for (var i = 0; i <= iterations; i++)
        {
            Gemm.Run(false, true, p, n, k, 1, z, k, m, k, 0, q, n); // Qᵀ = Zᵀ Rᵀ
            Orthonormalize(q, p, n);
            Gemm.Run(false, false, p, k, n, 1, q, n, m, k, 0, z, k); // Zᵀ = Qᵀ R
            if (i < iterations)
                Orthonormalize(z, p, k);
        }
        // R is near Q (Qᵀ R); the small symmetric matrix (Qᵀ R)(Qᵀ R)ᵀ = V Λ Vᵀ turns Q into singular vectors.
        var (values, vectors) = Eigen(Gram(z, p, k), p);
        var order = Enumerable.Range(0, p).OrderByDescending(i => values[i]).ToArray();
        float* toA = a.Pointer<float>(), toB = b.Pointer<float>();
        for (var j = 0; j < r; j++)
        {
            var e = j < p ? order[j] : -1;
            var sigma = e < 0 ? 0 : Math.Sqrt(Math.Max(0, values[e]));
            var (left, right) = (Math.Sqrt(sigma), sigma == 0 ? 0 : 1 / Math.Sqrt(sigma));
            for (var c = 0; c < k; c++)
                toA[((long)j * k) + c] = (float)(right * Dot(vectors, e, z, c, p, k));
            for (var c = 0; c < n; c++)
                toB[((long)c * r) + j] = (float)(left * Dot(vectors, e, q, c, p, n));
        }
    }

    private static double Dot(double[] vectors, int e, float* rows, int column, int p, int width)
    {
        double sum = 0;
        for (var i = 0; e >= 0 && i < p; i++)
            sum += vectors[(i * p) + e] * rows[((long)i * width) + column];
        return sum;
    }

    // Gram-Schmidt, each row twice: once more removes what rounding left.
    private static void Orthonormalize(float* rows, int p, int width)
    {
        for (var i = 0; i < p; i++)
        {
            var row = new Span<float>(rows + ((long)i * width), width);
            for (var pass = 0; pass < 2; pass++)
            {
                for (var j = 0; j < i; j++)
                {
                    var other = new Span<float>(rows + ((long)j * width), width);
                    var share = (float)Product(row, other);
                    for (var c = 0; c < width; c++)
                        row[c] -= share * other[c];
                }
            }
            var norm = Math.Sqrt(Product(row, row));
            var inverse = norm < 1e-30 ? 0 : (float)(1 / norm);
            foreach (ref var value in row)
                value *= inverse;
        }
    }

    private static double Product(ReadOnlySpan<float> x, ReadOnlySpan<float> y)
    {
        double sum = 0;
        for (var i = 0; i < x.Length; i++)
            sum += (double)x[i] * y[i];
        return sum;
    }

    private static double[] Gram(float* rows, int p, int width)
    {
        var gram = new double[p * p];
        for (var i = 0; i < p; i++)
        {
            for (var j = 0; j <= i; j++)
            {
                gram[(i * p) + j] = gram[(j * p) + i] = Product(
                    new Span<float>(rows + ((long)i * width), width), new Span<float>(rows + ((long)j * width), width));
            }
        }
        return gram;
    }

    // Jacobi's rotations: simple, and exact to rounding for the few dozen rows there are.
    private static (double[] Values, double[] Vectors) Eigen(double[] a, int p)
    {
        var v = new double[p * p];
        for (var i = 0; i < p; i++)
            v[(i * p) + i] = 1;
        for (var sweep = 0; sweep < 30; sweep++)
        {
            double off = 0, all = 0;
            for (var i = 0; i < p; i++)
            {
                for (var j = 0; j < p; j++)
                {
                    all += a[(i * p) + j] * a[(i * p) + j];
                    off += i == j ? 0 : a[(i * p) + j] * a[(i * p) + j];
                }
            }
            if (off <= 1e-24 * all)
                break;
            for (var i = 0; i < p; i++)
            {
                for (var j = i + 1; j < p; j++)
                    Rotate(a, v, p, i, j);
            }
        }
        return ([.. Enumerable.Range(0, p).Select(i => a[(i * p) + i])], v);
    }

    private static void Rotate(double[] a, double[] v, int p, int i, int j)
    {
        var entry = a[(i * p) + j];
        if (entry == 0)
            return;
        var theta = (a[(j * p) + j] - a[(i * p) + i]) / (2 * entry);
        var t = (theta < 0 ? -1 : 1) / (Math.Abs(theta) + Math.Sqrt((theta * theta) + 1));
        var c = 1 / Math.Sqrt((t * t) + 1);
        var s = t * c;
        for (var k = 0; k < p; k++)
            (a[(k * p) + i], a[(k * p) + j]) = (
                (c * a[(k * p) + i]) - (s * a[(k * p) + j]), (s * a[(k * p) + i]) + (c * a[(k * p) + j]));
        for (var k = 0; k < p; k++)
        {
            (a[(i * p) + k], a[(j * p) + k]) = (
                (c * a[(i * p) + k]) - (s * a[(j * p) + k]), (s * a[(i * p) + k]) + (c * a[(j * p) + k]));
            (v[(k * p) + i], v[(k * p) + j]) = (
                (c * v[(k * p) + i]) - (s * v[(k * p) + j]), (s * v[(k * p) + i]) + (c * v[(k * p) + j]));
        }
    }
}
