using CudaLora.Engine;

namespace CudaLora.Cli;

/// <summary>A matrix in host memory and what its singular values say.</summary>
internal sealed class LabMatrix(int rows, int columns, float[] values)
{
    private SingularValues? known;

    public int Rows => rows;

    public int Columns => columns;

    public float[] Values => values;

    /// <summary>A copy of a tensor (rows, columns).</summary>
    public static LabMatrix Of(Tensor tensor) => new(tensor.Shape[0], tensor.Shape[1], tensor.ToArray());

    /// <summary>Independent normal values, to compare with.</summary>
    public static LabMatrix Random(int rows, int columns, int seed)
    {
        var random = new Random(seed);
        var values = new float[rows * columns];
        for (var i = 0; i < values.Length; i++)
            values[i] = (float)(Math.Sqrt(-2 * Math.Log(1 - random.NextDouble()))
                * Math.Cos(2 * Math.PI * random.NextDouble()));
        return new LabMatrix(rows, columns, values);
    }

    /// <summary>This less another.</summary>
    public LabMatrix Minus(LabMatrix other) =>
        new(rows, columns, [.. values.Zip(other.Values, (x, y) => x - y)]);

    /// <summary>This (rows, k) times another (k, n), summed in double precision.</summary>
    public LabMatrix Times(LabMatrix other)
    {
        var product = new float[rows * other.Columns];
        var sums = new double[other.Columns];
        for (var i = 0; i < rows; i++)
        {
            Array.Clear(sums);
            for (var k = 0; k < columns; k++)
            {
                var factor = (double)values[(i * columns) + k];
                for (var j = 0; j < sums.Length; j++) sums[j] += factor * other.Values[(k * other.Columns) + j];
            }
            for (var j = 0; j < sums.Length; j++) product[(i * sums.Length) + j] = (float)sums[j];
        }
        return new LabMatrix(rows, other.Columns, product);
    }

    /// <summary>Largest first.</summary>
    public IReadOnlyList<float> Spectrum => (known ??= Decompose()).Values;

    /// <summary>e to the entropy of σ / Σσ: how many directions take part (Roy and Vetterli 2007).</summary>
    public double EffectiveRank
    {
        get
        {
            var sum = Spectrum.Sum(s => (double)s);
            return sum == 0 ? 0 : Math.Exp(-Spectrum.Where(s => s > 0).Sum(s => s / sum * Math.Log(s / sum)));
        }
    }

    /// <summary>Share of the squared norm in the first directions.</summary>
    public double EnergyIn(int directions)
    {
        var all = Spectrum.Sum(s => (double)s * s);
        return all == 0 ? 0 : Spectrum.Take(directions).Sum(s => (double)s * s) / all;
    }

    /// <summary>
    /// φ(i, j) = ‖V_iᵀ U_j‖² / min(i, j) for i up to <paramref name="most"/> and j up to <paramref name="mostOther"/>,
    /// of the first right singular vectors of this and of another: 1 where one span holds the other, 0 where they are
    /// orthogonal (Hu et al. 2021, section 7.2).
    /// </summary>
    public double[,] Similarity(LabMatrix other, int most, int mostOther)
    {
        float[] mine = (known ??= Decompose()).V, theirs = (other.known ??= other.Decompose()).V;
        int width = Spectrum.Count, otherWidth = other.Spectrum.Count;
        var similarity = new double[Math.Min(most, width), Math.Min(mostOther, otherWidth)];
        for (var i = 0; i < similarity.GetLength(0); i++)
        {
            for (var j = 0; j < similarity.GetLength(1); j++)
            {
                double dot = 0;
                for (var row = 0; row < columns; row++)
                    dot += (double)mine[(row * width) + i] * theirs[(row * otherWidth) + j];
                similarity[i, j] = (dot * dot) + (i > 0 ? similarity[i - 1, j] : 0) + (j > 0 ? similarity[i, j - 1] : 0)
                    - (i > 0 && j > 0 ? similarity[i - 1, j - 1] : 0);
            }
        }
        for (var i = 0; i < similarity.GetLength(0); i++)
        {
            for (var j = 0; j < similarity.GetLength(1); j++) similarity[i, j] /= 1 + Math.Min(i, j);
        }
        return similarity;
    }

    private SingularValues Decompose()
    {
        using var scope = TensorScope.Begin();
        var result = Engine.SingularValues.Of(Tensor.From(values, Shape.Of(rows, columns)));
        return new SingularValues(result.Values, result.V.ToArray());
    }

    private sealed record SingularValues(IReadOnlyList<float> Values, float[] V);
}
