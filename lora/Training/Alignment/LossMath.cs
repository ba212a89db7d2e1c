using CudaLora.Engine;

namespace CudaLora.Lora;

/// <summary>
/// Functions of a few values per row that preference losses need, composed from ops, so that they run and
/// differentiate on every device. Vectors are (n).
/// </summary>
internal static class LossMath
{
    // Each step of Newton's method from below gains at least one, so this many reach logits of 12, which is a
    // probability of 1 - 6e-6.
    private const int LogOddsSteps = 12;

    /// <summary>log σ(x), without overflow: the log-softmax of (x, 0).</summary>
    public static Tensor LogSigmoid(Tensor x) => First(WithZero(x).LogSoftmax());

    /// <summary>σ(x), the softmax of (x, 0).</summary>
    public static Tensor Sigmoid(Tensor x) => First(WithZero(x).Softmax());

    /// <summary>e^x as σ(x) / σ(-x); x below 80 in size.</summary>
    public static Tensor Exp(Tensor x)
    {
        var both = WithZero(x).Softmax();
        return First(both).Div(both.Slice(^1, 1, 1).Reshape(x.Shape));
    }

    /// <summary>max(x, 0); the gradient at 0 is 1.</summary>
    public static Tensor Relu(Tensor x) => WithZero(x).Max(^1);

    /// <summary>The larger of two, elementwise; the first where they are equal.</summary>
    public static Tensor Larger(Tensor a, Tensor b) => Columns(a, b).Max(^1);

    /// <summary>x kept within bounds; no gradient outside.</summary>
    public static Tensor Clamp(Tensor x, float low, float high)
    {
        var least = Larger(x, Constant(x, low));
        return Larger(least.Scale(-1), Constant(x, -high)).Scale(-1);
    }

    /// <summary>log(p / (1 - p)) of p = e^x, x below 0: Newton's method on log σ(z) = x, then one step with the
    /// gradient 1 / (1 - p).</summary>
    public static Tensor LogOdds(Tensor x)
    {
        Tensor z, slope;
        using (GradMode.NoGrad())
        {
            z = x.Detach();
            slope = Slope(z);
            for (var i = 0; i < LogOddsSteps; i++)
            {
                z = z.Add(x.Detach().Sub(LogSigmoid(z)).Mul(slope));
                slope = Slope(z);
            }
            z = z.Sub(LogSigmoid(z).Mul(slope));
        }
        return x.Mul(slope).Add(z);

        static Tensor Slope(Tensor at) => Constant(at, 1).Div(Sigmoid(at.Scale(-1)));
    }

    /// <summary>1 where x is above 0, else 0; no gradient.</summary>
    public static Tensor IsPositive(Tensor x)
    {
        using var noGrad = GradMode.NoGrad();
        var above = Relu(x);
        return above.Div(above.Add(Relu(x.Scale(-1))).Add(Constant(x, 1e-30f)));
    }

    /// <summary>The entries of one side of rows that come in pairs: (2p) or (2p, 1) to (p).</summary>
    public static Tensor Side(Tensor rows, int side)
    {
        var pairs = (int)rows.Count / 2;
        return rows.Reshape(Shape.Of(pairs, 2)).Slice(^1, side, 1).Reshape(Shape.Of(pairs));
    }

    /// <summary>A value in the shape and on the device of a tensor.</summary>
    public static Tensor Constant(Tensor like, float value)
    {
        var constant = Tensor.Empty(like.Shape, DType.F32, like.Device);
        constant.Fill(value);
        return constant;
    }

    private static Tensor WithZero(Tensor x) => Columns(x, Constant(x, 0));

    private static Tensor Columns(Tensor a, Tensor b) =>
        TensorOps.Concat(^1, a.Reshape(a.Shape.Append(1)), b.Reshape(b.Shape.Append(1)));

    private static Tensor First(Tensor columns)
    {
        var first = columns.Slice(^1, 0, 1);
        return first.Reshape(Shape.Of(first.Shape.Dims[..^1]));
    }
}
