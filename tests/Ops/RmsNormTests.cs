using CudaLora.Engine;

namespace CudaLora.Tests.Ops;

public class RmsNormTests
{
    [Theory, OnDevices]
    public void PyTorchGolden(string device)
    {
        using var scope = OpCheck.On(device);
        OpGolden.Check("rms_norm", ["x", "w"], t => t[0].RmsNorm(t[1], 1e-6f));
    }

    [Theory, OnDevices]
    public void Output_MatchesDoublePrecision(string device)
    {
        using var scope = OpCheck.On(device);
        Tensor x = OpCheck.Leaf(1, 2, 3, 7), w = OpCheck.Leaf(2, 7);
        float[] p = x.ToArray(), q = w.ToArray();
        double Mean(int row) => p.Skip(row * 7).Take(7).Average(v => (double)v * v);
        OpCheck.Values(
            x.RmsNorm(w, 1e-3f), Shape.Of(2, 3, 7), i => p[i] / Math.Sqrt(Mean(i / 7) + 1e-3f) * q[i % 7]);
    }

    [Theory, OnDevices]
    public void Gradient_MatchesDifferences(string device)
    {
        using var scope = OpCheck.On(device);
        Tensor x = OpCheck.Leaf(1, 3, 7), w = OpCheck.Leaf(2, 7);
        GradientCheck.Run(() => x.RmsNorm(w, 1e-5f), x, w);
        OpCheck.SecondUseAccumulates(() => x.RmsNorm(w, 1e-5f), x, w);
    }

    [Theory, OnDevices]
    public void FrozenInputs_GetNoWork(string device)
    {
        using var scope = OpCheck.On(device);
        Tensor x = OpCheck.Leaf(1, 3, 7), w = OpCheck.Leaf(2, 7);
        OpCheck.FrozenInputsGetNoWork(() => x.RmsNorm(w, 1e-5f), x, w);
    }

    [Fact]
    public void WrongShapes_AreNamed() => OpCheck.Refused(
        "[rms_norm] weight must have the last dimension of x, but got x (2, 3), weight (4)",
        () => Tensor.Zeros(Shape.Of(2, 3)).RmsNorm(Tensor.Zeros(Shape.Of(4)), 1e-5f));

    [Theory, OnCudaDevices]
    public void Bf16_MatchesDoublePrecision(string device)
    {
        using var scope = OpCheck.On(device);
        Bf16Check.Run(
            t => t[0].RmsNorm(t[1], 1e-5f),
            t => OpRows.Map(t[0], 7, row =>
            {
                var rstd = 1 / Math.Sqrt(row.Average(v => v * v) + 1e-5f);
                return [.. row.Select((v, i) => v * rstd * t[1][i])];
            }),
            [OpCheck.Bf16Leaf(1, 3, 7), OpCheck.Leaf(2, 7)]);
    }
}
