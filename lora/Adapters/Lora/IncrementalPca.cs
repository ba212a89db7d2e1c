using CudaLora.Engine;

namespace CudaLora.Lora;

/// <summary>
/// Principal directions of rows that come in batches (Ross et al. 2008): each batch is decomposed together with the
/// directions found so far and a row for the shift of the mean.
/// </summary>
internal sealed class IncrementalPca(int width, int components)
{
    private readonly double[] mean = new double[width];
    private readonly double[] squares = new double[width]; // Σ (x - mean)² of each column
    private long rows;
    private float[] values = [];

    /// <summary>The directions found (components, width), the largest first; rows of length 1.</summary>
    public float[] Directions { get; private set; } = [];

    /// <summary>True when the last batch turned no direction by more than the tolerance.</summary>
    public bool Converged { get; private set; }

    /// <summary>The share of all variance that each direction has.</summary>
    public double[] VarianceShares()
    {
        var total = squares.Sum();
        return Array.ConvertAll(values, value => total == 0 ? 0 : (double)value * value / total);
    }

    /// <summary>Takes a batch (n, width) in; one of fewer rows than components is passed over.</summary>
    /// <param name="x">The rows, one after the other.</param>
    /// <param name="tolerance">Least cosine between a direction and its former self that counts as converged.</param>
    public void Add(ReadOnlySpan<float> x, double tolerance)
    {
        var count = x.Length / width;
        if (count < components)
            return;
        var (batchMean, batchSquares) = Statistics(x, count);
        var total = rows + count;
        var known = values.Length;
        using var scope = TensorScope.Begin();
        var stacked = Tensor.Zeros(
            Shape.Of(known + count + (known > 0 ? 1 : 0), width), device: Device.Cpu);
        var to = stacked.Span<float>();
        for (var i = 0; i < known; i++)
        {
            for (var j = 0; j < width; j++)
                to[(i * width) + j] = values[i] * Directions[(i * width) + j];
        }
        var shift = Math.Sqrt((double)rows / total * count);
        for (var j = 0; j < width; j++)
        {
            for (var i = 0; i < count; i++)
                to[((known + i) * width) + j] = (float)(x[(i * width) + j] - batchMean[j]);
            if (known > 0)
                to[((known + count) * width) + j] = (float)(shift * (mean[j] - batchMean[j]));
            squares[j] += batchSquares[j]
                + ((double)rows * count / total * (batchMean[j] - mean[j]) * (batchMean[j] - mean[j]));
            mean[j] += (batchMean[j] - mean[j]) * count / total;
        }
        rows = total;
        Take(SingularValues.Of(stacked), tolerance);
    }

    private void Take(SingularValues svd, double tolerance)
    {
        var count = Math.Min(components, svd.Values.Count);
        var found = new float[count * width];
        var columns = svd.V.Span<float>();
        for (var i = 0; i < count; i++)
        {
            for (var j = 0; j < width; j++)
                found[(i * width) + j] = columns[(j * svd.Values.Count) + i];
        }
        Converged = Directions.Length == found.Length;
        for (var i = 0; i < count && Converged; i++)
        {
            double cosine = 0;
            for (var j = 0; j < width; j++)
                cosine += (double)found[(i * width) + j] * Directions[(i * width) + j];
            Converged = Math.Abs(cosine) >= tolerance;
        }
        (Directions, values) = (found, [.. svd.Values.Take(count)]);
    }

    private (double[] Mean, double[] Squares) Statistics(ReadOnlySpan<float> x, int count)
    {
        var (average, around) = (new double[width], new double[width]);
        for (var i = 0; i < x.Length; i++)
            average[i % width] += x[i];
        for (var j = 0; j < width; j++)
            average[j] /= count;
        for (var i = 0; i < x.Length; i++)
            around[i % width] += (x[i] - average[i % width]) * (x[i] - average[i % width]);
        return (average, around);
    }
}
