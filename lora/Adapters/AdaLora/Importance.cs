using CudaLora.Engine;

namespace CudaLora.Lora;

/// <summary>
/// How much each value of a parameter matters: its sensitivity |p g|, smoothed, times how uncertain that is, smoothed
/// too.
/// </summary>
internal sealed class Importance(Parameter parameter) : IDisposable
{
    private readonly Tensor mean = Zeros(parameter);
    private readonly Tensor deviation = Zeros(parameter);

    /// <summary>The moments, for a checkpoint.</summary>
    public IEnumerable<(string Name, Tensor Value)> State() =>
        [(parameter.Path.Value + ".exp_avg_ipt", mean), (parameter.Path.Value + ".exp_avg_unc", deviation)];

    /// <summary>Takes the present value and gradient in.</summary>
    public void Update(double beta1, double beta2, double gradientScale)
    {
        if (parameter.Value.Grad is not { } gradient)
            return;
        float[] p = parameter.Value.ToArray(), g = gradient.ToArray();
        Span<float> m = mean.Span<float>(), u = deviation.Span<float>();
        for (var i = 0; i < p.Length; i++)
        {
            var sensitivity = Math.Abs(p[i] * g[i] * gradientScale);
            m[i] = (float)((beta1 * m[i]) + ((1 - beta1) * sensitivity));
            u[i] = (float)((beta2 * u[i]) + ((1 - beta2) * Math.Abs(sensitivity - m[i])));
        }
    }

    /// <summary>The score of each value.</summary>
    public double[] Scores()
    {
        Span<float> m = mean.Span<float>(), u = deviation.Span<float>();
        var scores = new double[m.Length];
        for (var i = 0; i < scores.Length; i++)
            scores[i] = (double)m[i] * u[i];
        return scores;
    }

    public void Dispose()
    {
        mean.Dispose();
        deviation.Dispose();
    }

    private static Tensor Zeros(Parameter parameter)
    {
        var zeros = Tensor.Owned(parameter.Value.Shape, device: Device.Cpu);
        zeros.Clear();
        return zeros;
    }
}
