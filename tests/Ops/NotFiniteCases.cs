using CudaLora.Engine;

namespace CudaLora.Tests.Ops;

/// <summary>
/// An op of x (3, 77), its formula and its gradient, both in double. Where a formula with a limit multiplies
/// infinity by zero, the limit will do, and so will anything that is not finite.
/// </summary>
internal sealed record NotFiniteCase(
    Func<Tensor, Tensor> Op, Func<double[], double[]> Forward, Func<double[], double[], double[]> Backward,
    bool HasLimit = false);

/// <summary>The ops and their formulas.</summary>
internal static class NotFiniteCases
{
    public const int Cols = 77;
    public const int Rows = 3; // the middle one has the value
    private const double Eps = 1e-5;

    private const int Vocabulary = 90;

    private static readonly int[] Labels = [3, 5, 70];
    private static readonly float[] Output = GradientCheck.Values(3, Shape.Of(Vocabulary, Cols));

    public static Dictionary<string, NotFiniteCase> All { get; } = new()
    {
        ["softmax"] = new(
            x => x.Softmax(), x => OpRows.Map(x, Cols, Softmax),
            (x, dy) => RowGradient(x, dy, (row, g) =>
            {
                var p = Softmax(row);
                var dot = p.Zip(g, (a, b) => a * b).Sum();
                return i => p[i] * (g[i] - dot);
            })),
        ["log_softmax"] = new(
            x => x.LogSoftmax(), x => OpRows.Map(x, Cols, LogSoftmax),
            (x, dy) => RowGradient(x, dy, (row, g) =>
            {
                var y = LogSoftmax(row);
                return i => g[i] - Math.Exp(y[i]) * g.Sum();
            })),
        ["gather_log_probs"] = new(
            x => x.GatherLogProbs(OpCheck.Ids(Labels)),
            x => [.. Enumerable.Range(0, Rows).Select(r => LogSoftmax(Row(x, r))[Labels[r]])],
            (x, dy) => LabelGradient(x, r => dy[r])),
        ["cross_entropy"] = new(
            x => x.Scale(1).CrossEntropy(OpCheck.Ids(Labels), 0.5f),
            x => [Enumerable.Range(0, Rows).Sum(r => -0.5 * LogSoftmax(Row(x, r))[Labels[r]])],
            (x, dy) => LabelGradient(x, _ => -0.5 * dy[0])),
        ["linear_cross_entropy"] = new(
            x => x.LinearCrossEntropy(
                Tensor.From(Output, Shape.Of(Vocabulary, Cols)), OpCheck.Ids(Labels),
                Tensor.From([0.5f], Shape.Scalar)),
            x => [Enumerable.Range(0, Rows).Sum(r => -0.5 * LogSoftmax(Logits(Row(x, r)))[Labels[r]])],
            (x, dy) => RowGradient(x, [.. x.Select((_, i) => (double)Labels[i / Cols])], (row, labels) =>
            {
                var p = Softmax(Logits(row));
                p[(int)labels[0]]--;
                return i => 0.5 * dy[0] * p.Select((v, n) => v * Output[n * Cols + i]).Sum();
            })),
        ["max"] = new(
            x => x.Max(^1), x => OpRows.Map(x, Cols, row => [row[ArgMax(row)]]),
            (x, dy) => [.. x.Select((_, i) => i % Cols == ArgMax(Row(x, i / Cols)) ? dy[i / Cols] : 0)]),
        ["max of columns"] = new(
            x => x.Max(0), x => [.. Enumerable.Range(0, Cols).Select(c => Column(x, c)[ArgMax(Column(x, c))])],
            (x, dy) => [.. x.Select((_, i) => i / Cols == ArgMax(Column(x, i % Cols)) ? dy[i % Cols] : 0)]),
        ["sum"] = new(
            x => x.Sum(^1), x => OpRows.Map(x, Cols, row => [row.Sum()]),
            (x, dy) => [.. x.Select((_, i) => dy[i / Cols])]),
        ["sum of columns"] = new(
            x => x.Sum(0), x => [.. Enumerable.Range(0, Cols).Select(c => Column(x, c).Sum())],
            (x, dy) => [.. x.Select((_, i) => dy[i % Cols])]),
        ["rms_norm"] = new(
            x => x.RmsNorm(Weight(), (float)Eps),
            x => OpRows.Map(x, Cols, row => [.. row.Select((v, i) => v * InverseRoot(row) * Factor(i))]),
            (x, dy) => RowGradient(x, dy, (row, g) =>
            {
                var rstd = InverseRoot(row);
                var along = row.Select((v, i) => v * g[i] * Factor(i)).Average();
                return i => rstd * (Factor(i) * g[i] - row[i] * rstd * rstd * along);
            })),
        ["layer_norm"] = new(
            x => x.LayerNorm(Weight(), null, (float)Eps),
            x => OpRows.Map(x, Cols, row => [.. Centred(row).Select((v, i) => v * Factor(i))]),
            (x, dy) => RowGradient(x, dy, (row, g) =>
            {
                var h = Centred(row);
                var rstd = InverseRoot([.. row.Select(v => v - row.Average())]);
                var mean = g.Select((v, i) => v * Factor(i)).Average();
                var along = g.Select((v, i) => v * Factor(i) * h[i]).Average();
                return i => rstd * (g[i] * Factor(i) - mean - h[i] * along);
            })),
        ["gelu"] = new(
            x => x.Gelu(), x => [.. x.Select(v => v * Phi(v))],
            (x, dy) =>
                [.. x.Select((v, i) => dy[i] * (Phi(v) + v * Math.Exp(-v * v / 2) / Math.Sqrt(2 * Math.PI)))],
            HasLimit: true),
        ["gelu by tanh"] = new(
            x => x.Gelu(tanh: true), x => [.. x.Select(v => v * Sigmoid(2 * Inner(v)))],
            (x, dy) =>
            [
                .. x.Select((v, i) =>
                {
                    var s = Sigmoid(2 * Inner(v));
                    return dy[i] * (s + v * s * (1 - s) * 2 * Math.Sqrt(2 / Math.PI) * (1 + 0.134145 * v * v));
                }),
            ],
            HasLimit: true),
        ["silu"] = new(
            x => x.Silu(), x => [.. x.Select(v => v * Sigmoid(v))],
            (x, dy) => [.. x.Select((v, i) => dy[i] * SiluSlope(v))], HasLimit: true),
        ["swiglu, gate"] = new(
            x => x.Swiglu(Other()), x => [.. x.Select((v, i) => v * Sigmoid(v) * Factor(i))],
            (x, dy) => [.. x.Select((v, i) => dy[i] * SiluSlope(v) * Factor(i))], HasLimit: true),
        ["swiglu, up"] = new(
            x => Other().Swiglu(x), x => [.. x.Select((v, i) => v * Factor(i) * Sigmoid(Factor(i)))],
            (x, dy) => [.. x.Select((_, i) => dy[i] * Factor(i) * Sigmoid(Factor(i)))]),
    };

    private static double[] Row(double[] x, int row) => x[(row * Cols)..((row + 1) * Cols)];

    private static double[] Column(double[] x, int col) => [.. x.Where((_, i) => i % Cols == col)];

    private static double[] RowGradient(
        double[] x, double[] dy, Func<double[], double[], Func<int, double>> formula) =>
        [
            .. Enumerable.Range(0, Rows)
                .SelectMany(r => Enumerable.Range(0, Cols).Select(formula(Row(x, r), Row(dy, r)))),
        ];

    // g (onehot - softmax).
    private static double[] LabelGradient(double[] x, Func<int, double> g) =>
        RowGradient(x, [.. x.Select((_, i) => (double)(i / Cols))], (row, at) =>
        {
            var (r, p) = ((int)at[0], Softmax(row));
            return i => g(r) * ((i == Labels[r] ? 1 : 0) - p[i]);
        });

    private static double[] Logits(double[] row) =>
        [.. Output.Chunk(Cols).Select(weights => weights.Select((w, i) => w * row[i]).Sum())];

    public static double[] Softmax(double[] row) => [.. LogSoftmax(row).Select(Math.Exp)];

    public static double[] LogSoftmax(double[] row)
    {
        var max = row.Max();
        var sum = row.Sum(v => Math.Exp(v - max));
        return [.. row.Select(v => v - max - Math.Log(sum))];
    }

    // The first of the largest; NaN counts as larger than all else.
    private static int ArgMax(double[] row)
    {
        var nan = Array.FindIndex(row, double.IsNaN);
        return nan >= 0 ? nan : Array.IndexOf(row, row.Max());
    }

    private static double Factor(int i) => (float)(1 + 0.5 * Math.Sin(i % Cols));

    private static Tensor Weight() =>
        Tensor.From([.. Enumerable.Range(0, Cols).Select(i => (float)Factor(i))], Shape.Of(Cols));

    private static Tensor Other() => Tensor.From(
        [.. Enumerable.Range(0, Rows * Cols).Select(i => (float)Factor(i))], Shape.Of(Rows, Cols));

    private static double InverseRoot(double[] row) => 1 / Math.Sqrt(row.Average(v => v * v) + Eps);

    private static double[] Centred(double[] row)
    {
        double[] centred = [.. row.Select(v => v - row.Average())];
        return [.. centred.Select(v => v * InverseRoot(centred))];
    }

    private static double Phi(double x) =>
        double.IsNaN(x) ? x : (1 + Kernels.VectorMathTests.Erf(x / Math.Sqrt(2))) / 2;

    private static double Sigmoid(double x) => 1 / (1 + Math.Exp(-x));

    private static double SiluSlope(double x) => Sigmoid(x) * (1 + x * (1 - Sigmoid(x)));

    private static double Inner(double x) => Math.Sqrt(2 / Math.PI) * (x + 0.044715 * x * x * x);
}
