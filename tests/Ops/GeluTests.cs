using CudaLora.Engine;

namespace CudaLora.Tests.Ops;

public class GeluTests
{
    [Theory, OnDevices]
    public void Output_MatchesDoublePrecision(string device)
    {
        using var scope = OpCheck.On(device);
        var x = OpCheck.Leaf(1, 3, 5);
        var p = x.ToArray();
        OpCheck.Values(
            x.Gelu(tanh: true), Shape.Of(3, 5),
            i => 0.5 * p[i] * (1 + Math.Tanh(Math.Sqrt(2 / Math.PI) * (p[i] + (0.044715 * Math.Pow(p[i], 3))))));
        OpCheck.Values(
            x.Gelu(), Shape.Of(3, 5), i => 0.5 * p[i] * (1 + Kernels.VectorMathTests.Erf(p[i] / Math.Sqrt(2))));
    }

    [Theory, OnDevices]
    public void PyTorchGoldens(string device)
    {
        using var scope = OpCheck.On(device);
        OpGolden.Check("gelu_exact", ["x"], t => t[0].Gelu());
        OpGolden.Check("gelu_tanh", ["x"], t => t[0].Gelu(tanh: true));
    }

    [Theory, OnDevices]
    public void TanhGradient_MatchesDifferences(string device)
    {
        using var scope = OpCheck.On(device);
        var x = OpCheck.Leaf(1, 3, 5);
        GradientCheck.Run(() => x.Gelu(tanh: true), x);
    }

    [Theory, OnDevices]
    public void Gradient_MatchesDifferences(string device)
    {
        using var scope = OpCheck.On(device);
        var x = OpCheck.Leaf(1, 3, 5);
        GradientCheck.Run(() => x.Gelu(), x);
        OpCheck.SecondUseAccumulates(() => x.Gelu(), x);
    }

    [Theory, OnDevices]
    public void FrozenInput_GetsNoWork(string device)
    {
        using var scope = OpCheck.On(device);
        var x = OpCheck.Leaf(1, 3, 5);
        OpCheck.FrozenInputsGetNoWork(() => x.Gelu(), x);
    }

    [Theory, OnCudaDevices]
    public void Bf16_MatchesDoublePrecision(string device)
    {
        using var scope = OpCheck.On(device);
        Bf16Check.Run(
            t => t[0].Gelu(), t => [.. t[0].Select(v => 0.5 * v * (1 + Kernels.VectorMathTests.Erf(v / Math.Sqrt(2))))],
            Shape.Of(3, 7));
        Bf16Check.Run(
            t => t[0].Gelu(tanh: true),
            t => [.. t[0].Select(v => v * (1 + Math.Tanh(Math.Sqrt(2 / Math.PI) * (v + (0.044715 * v * v * v)))) / 2)],
            Shape.Of(3, 8));
    }

    [Fact]
    public void WrongDType_IsNamed() => OpCheck.Refused(
        "[gelu] dtype must be F32, but got I32 (x (2, 3))",
        () => Tensor.Zeros(Shape.Of(2, 3), DType.I32).Gelu());
}
