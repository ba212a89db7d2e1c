using CudaLora.Engine;

namespace CudaLora.Lora;

/// <summary>
/// DoRA's magnitude m (Liu et al. 2024, arXiv 2402.09353): y = (m / n) (W + s B A) x + b, where n are the norms of the
/// rows of W + s B A, which count as constants in backward.
/// </summary>
public sealed class DoraMagnitude : IDisposable
{
    private readonly LoraLinear lora;
    private readonly double[] baseSquares; // Σ W² of each row
    private float[] knownA = [];
    private float[] knownB = [];
    private float[] norms = [];

    internal DoraMagnitude(LoraLinear lora)
    {
        this.lora = lora;
        using var scope = TensorScope.Begin();
        baseSquares = RowSquares(LoraInitializers.BaseWeight(lora.Linear));
        var values = Tensor.Owned(Shape.Of(lora.Linear.OutFeatures), device: lora.Linear.Device);
        values.CopyFrom(Norms());
        Vector = new Parameter(lora.Linear.Path / "lora_magnitude_vector", values);
    }

    /// <summary>m (out): the norms of the rows at first.</summary>
    public Parameter Vector { get; }

    /// <summary>Releases m.</summary>
    public void Dispose() => Vector.Dispose();

    /// <summary>
    /// The layer's output. With dropout, which is on the adapter's input alone, the base's part is not dropped, but its
    /// rescaling is, as PEFT has it.
    /// </summary>
    internal Tensor Forward(Tensor x, DropoutMask mask)
    {
        var linear = lora.Linear;
        var share = Vector.Value.Mul(Inverse(x.Device)); // m / n (out)
        if (mask.Probability == 0)
        {
            var y = lora.Product(x, null, default).Mul(share);
            return linear.Bias is { } bias ? y.Add(bias) : y;
        }
        var dropped = x.Dropout(mask);
        return linear.Plain(x).Sub(Unbiased(linear, dropped)).Add(lora.Product(dropped, null, default).Mul(share));
    }

    /// <summary>Row i of W + s B A times m / n, with <see cref="Norms"/> from before W was changed.</summary>
    internal void ScaleRows(Tensor weight, float[] n)
    {
        var (m, k) = (Vector.Value.ToArray(), weight.Shape[1]);
        var values = weight.Span<float>();
        for (var i = 0; i < m.Length; i++)
        {
            foreach (ref var value in values.Slice(i * k, k))
                value *= m[i] / n[i];
        }
    }

    private static Tensor Unbiased(Linear linear, Tensor x) =>
        linear.Quantized is { } codes ? x.QuantizedLinear(codes) : x.Linear(linear.Weight);

    private Tensor Inverse(Device device) =>
        Tensor.From(Array.ConvertAll(Norms(), n => 1 / n), Shape.Of(baseSquares.Length), device);

    /// <summary>The norms of the rows of W + s B A.</summary>
    // ‖W + s B A‖² = ‖W‖² + 2 s (W Aᵀ)·B + s² (B A Aᵀ)·B by rows: W is read once, and only when A or B have changed.
    internal float[] Norms()
    {
        float[] a = lora.A.Value.ToArray(), b = lora.B.Value.ToArray();
        if (norms.Length > 0 && a.AsSpan().SequenceEqual(knownA) && b.AsSpan().SequenceEqual(knownB))
            return norms;
        (knownA, knownB) = (a, b);
        using var scope = TensorScope.Begin();
        using var noGrad = GradMode.NoGrad();
        var (rank, rows, s) = (lora.Rank, baseSquares.Length, (double)lora.Scale);
        var cross = Unbiased(lora.Linear, lora.A.Value).ToArray(); // A Wᵀ (r, out)
        var gram = lora.B.Value.Linear(lora.A.Value.Linear(lora.A)).ToArray(); // B A Aᵀ (out, r)
        var found = new float[rows];
        for (var i = 0; i < rows; i++)
        {
            var square = baseSquares[i];
            for (var j = 0; j < rank; j++)
                square += b[(i * rank) + j] * ((2 * s * cross[(j * rows) + i]) + (s * s * gram[(i * rank) + j]));
            // A row of zeros has no direction; PEFT would divide by it.
            found[i] = (float)Math.Sqrt(Math.Max(square, 1e-24));
        }
        return norms = found;
    }

    private static double[] RowSquares(Tensor weight)
    {
        var (rows, k) = (weight.Shape[0], weight.Shape[1]);
        var values = weight.Span<float>();
        var squares = new double[rows];
        for (var i = 0; i < rows; i++)
        {
            foreach (var value in values.Slice(i * k, k))
                squares[i] += (double)value * value;
        }
        return squares;
    }
}
