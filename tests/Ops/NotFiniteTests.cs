using CudaLora.Engine;
using static CudaLora.Tests.Ops.NotFiniteCases;

namespace CudaLora.Tests.Ops;

/// <summary>
/// NaN and infinity at several places of a row, and what double precision makes of them: a run that diverged must show
/// it, on every device, whichever lane of whichever register the value is in. Rows of 77 floats have whole registers of
/// 16, 8 and 4 lanes in every unrolled loop, a rest of whole registers, and a rest of single floats.
/// </summary>
public class NotFiniteTests
{
    // What a device writes for NaN, and payloads of others: the lower bits must not turn it into a number.
    private static readonly float[] Values =
    [
        float.NaN, BitConverter.UInt32BitsToSingle(0x7FFFFFFF), BitConverter.UInt32BitsToSingle(0x7FC00001),
        float.PositiveInfinity, float.NegativeInfinity, 1e4f, -1e4f,
    ];

    private static readonly int[] Places = [0, 9, 38, 66, 76];

    [Theory, OnDevices]
    public void NaNAndInfinity_AreWhatDoublePrecisionMakesOfThem(string device)
    {
        using var scope = OpCheck.On(device);
        var wrong = new List<string>();
        foreach (var (name, check) in All)
        {
            foreach (var value in Values)
            {
                foreach (var place in Places)
                {
                    wrong.AddRange(
                        Differences(check, value, place).Select(text => $"{name}, {value:R} at {place}: {text}"));
                }
            }
        }
        Assert.True(wrong.Count == 0, string.Join('\n', wrong));
    }

    // Several blocks of the cache, a running maximum that begins at minus infinity and jumps up.
    [Theory, OnDevices]
    public void LongRowsOfLogits(string device)
    {
        using var scope = OpCheck.On(device);
        const int cols = 8200, label = 8111;
        var plain = GradientCheck.Values(5, Shape.Of(cols));
        float[][] rows =
        [
            [.. plain.Select((v, i) => i < 4100 ? float.NegativeInfinity : v)],
            [.. plain.Select((v, i) => i < 4100 ? float.NegativeInfinity : v - 2000)],
            [.. plain.Select((v, i) => i < 4100 ? -3000 : v + 2000)],
            [.. plain.Select((v, i) => i > 4200 && i != label ? float.NegativeInfinity : v - 500)],
            [.. plain.Select((v, i) => i == 5000 ? float.NaN : v)],
            [.. plain.Select((v, i) => i == 7 ? float.NaN : i < 4100 ? float.NegativeInfinity : v)],
            [.. plain.Select((v, i) => i == 8199 ? float.PositiveInfinity : v)],
            [.. plain.Select(_ => float.NegativeInfinity)],
        ];
        foreach (var row in rows)
        {
            using var inner = TensorScope.Begin();
            var x = Tensor.From(row, Shape.Of(1, cols));
            x.RequiresGrad = true;
            double[] exact = Array.ConvertAll(row, v => (double)v), p = Softmax(exact), log = LogSoftmax(exact);
            var gradient = p.Select((v, i) => v - (i == label ? 1 : 0)).ToArray();
            var loss = x.Scale(1).CrossEntropy(OpCheck.Ids(label), 1);
            loss.Backward();
            string[] wrong =
            [
                .. Compare("softmax", p, p, x.Softmax().ToArray()),
                .. Compare("log_softmax", log, log, x.LogSoftmax().ToArray()),
                .. Compare("loss", [-log[label]], [0], loss.ToArray()),
                .. Compare("gradient", gradient, gradient, x.Grad!.ToArray()),
                .. Compare("gather", [log[label]], [0], x.GatherLogProbs(OpCheck.Ids(label)).ToArray()),
            ];
            Assert.True(wrong.Length == 0, $"row {Array.IndexOf(rows, row)}: {string.Join('\n', wrong.Take(20))}");
        }
    }

    // A norm that hides either would let the step through.
    [Theory, OnDevices]
    public void GradientNorm(string device)
    {
        using var scope = OpCheck.On(device);
        foreach (var place in Places)
        {
            foreach (var value in Values)
            {
                var gradient = GradientCheck.Values(1, Shape.Of(Cols));
                gradient[place] = value;
                using var inner = TensorScope.Begin();
                var p = new Parameter(new ParameterPath("p"), Tensor.Zeros(Shape.Of(Cols))) { Trainable = true };
                p.Value.Scale(1).Backward(Tensor.From(gradient, Shape.Of(Cols)));
                var norm = GradientClip.Norm([new ParameterGroup([p], 1)]);
                double[] expected = [Math.Sqrt(gradient.Sum(v => (double)v * v))];
                Assert.Empty(Compare("norm", expected, expected, [(float)norm]));
            }
        }
    }

    private static IEnumerable<string> Differences(NotFiniteCase check, float value, int place)
    {
        using var scope = TensorScope.Begin();
        var values = GradientCheck.Values(1, Shape.Of(Rows, Cols));
        values[Cols + place] = value;
        var x = Tensor.From(values, Shape.Of(Rows, Cols));
        x.RequiresGrad = true;
        var y = check.Op(x);
        var dy = GradientCheck.Values(2, y.Shape);
        y.Backward(Tensor.From(dy, y.Shape));
        double[] exact = Array.ConvertAll(values, v => (double)v), seed = Array.ConvertAll(dy, v => (double)v);
        double[] near = [.. exact];
        if (check.HasLimit && float.IsInfinity(value))
            near[Cols + place] = Math.CopySign(1e4, value);
        return
        [
            .. Compare("forward", check.Forward(exact), check.Forward(near), y.ToArray()),
            .. Compare("backward", check.Backward(exact, seed), check.Backward(near, seed), x.Grad!.ToArray()),
        ];
    }

    private static IEnumerable<string> Compare(string pass, double[] expected, double[] limit, float[] actual)
    {
        Assert.Equal(expected.Length, actual.Length);
        for (var i = 0; i < expected.Length; i++)
        {
            var (e, a) = (expected[i], (double)actual[i]);
            var same = double.IsFinite(e) ? Close(e, a) : e.Equals(a);
            // No value, but a limit.
            if (double.IsNaN(e) && !double.IsNaN(limit[i]))
                same = !double.IsFinite(a) || Close(limit[i], a);
            if (!same)
                yield return $"{pass} {i}: expected {e:g6}, got {a:g6}";
        }
    }

    // As far as rounding in F32 goes.
    private static bool Close(double expected, double actual) =>
        Math.Abs(expected - actual) <= 1e-5 + 1e-5 * Math.Abs(expected);
}
