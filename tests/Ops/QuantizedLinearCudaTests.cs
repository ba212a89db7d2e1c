using CudaLora.Engine;

namespace CudaLora.Tests.Ops;

/// <summary>4-bit layers on CUDA devices against the CPU's body, in F32 and in BF16 by every strategy.</summary>
public class QuantizedLinearCudaTests
{
    private static IEnumerable<string> Devices => TestDevice.Names.Where(name => name != "cpu");

    [Theory]
    [InlineData(64, 40, true)]
    [InlineData(64, 40, false)]
    [InlineData(33, 21, true)]
    public void DecodedValues_AreTheCpusBits(int inputs, int outputs, bool nested)
    {
        using var host = Weight(outputs, inputs, nested);
        using var expected = host.Dequantize();
        foreach (var device in Devices)
        {
            using var guard = TestDevice.Use(device);
            using var there = host.To(Device.Default);
            var values = Tensor.Zeros(Shape.Of(outputs, inputs));
            there.DequantizeTo(values.DeviceAddress, inputs, DType.F32);
            Assert.Equal(expected.ToArray(), values.ToArray());
            using var back = there.Dequantize();
            Assert.Equal(expected.ToArray(), back.ToArray());
        }
    }

    [Theory]
    [InlineData(6, 64, 40, true)]
    [InlineData(21, 33, 20, false)]
    public void Linear_MatchesTheCpu(int rows, int inputs, int outputs, bool withBias)
    {
        var expected = Linear("cpu", DType.F32, rows, inputs, outputs, withBias);
        foreach (var device in Devices)
        {
            AssertClose(expected, Linear(device, DType.F32, rows, inputs, outputs, withBias), 1e-5);
            AssertClose(expected, Linear(device, DType.BF16, rows, inputs, outputs, withBias), 1.0 / 64);
        }
    }

    [Theory]
    [InlineData(LoraStrategy.Composed, 40, 64, 72, 4, 0)]
    [InlineData(LoraStrategy.BlockMatrix, 40, 64, 72, 4, 0)]
    [InlineData(LoraStrategy.Fused, 40, 64, 72, 4, 0)]
    [InlineData(LoraStrategy.Fused, 40, 64, 72, 4, 0.3f)]
    [InlineData(LoraStrategy.BlockMatrix, 7, 27, 13, 5, 0)]
    [InlineData(LoraStrategy.FusedNf4, 40, 64, 72, 4, 0)]
    [InlineData(LoraStrategy.FusedNf4, 40, 64, 72, 4, 0.3f)]
    [InlineData(LoraStrategy.FusedNf4, 70, 1056, 136, 72, 0)] // Sums in two parts, two steps of ranks.
    [InlineData(LoraStrategy.FusedNf4, 7, 27, 13, 5, 0)]
    [InlineData(LoraStrategy.FusedNf4, 257, 32, 8, 3, 0)] // More tokens than it takes.
    public void Lora_MatchesTheCpuByEveryStrategy(
        LoraStrategy strategy, int rows, int inputs, int outputs, int rank, float dropout)
    {
        var expected = Lora("cpu", DType.F32, strategy, rows, inputs, outputs, rank, dropout);
        foreach (var device in Devices)
        {
            AssertClose(expected, Lora(device, DType.F32, strategy, rows, inputs, outputs, rank, dropout), 1e-5);
            // W0, activations, S and dS keep 8 bits: a result is the sum of a few such roundings.
            AssertClose(
                expected, Lora(device, DType.BF16, strategy, rows, inputs, outputs, rank, dropout), 1.0 / 64);
        }
    }

    // Not the CPU's sums, but those of the same rounded values of W0: the two ways differ in the order of the sums
    // alone, so that hardly any result falls on the other side of a rounding to BF16.
    [Theory]
    [InlineData(33, 96, 136, true)]
    [InlineData(64, 1184, 64, false)]
    public void DecodingInRegisters_GivesTheValuesOfDecodingFirst(int rows, int inputs, int outputs, bool withBias)
    {
        foreach (var device in Devices)
        {
            var (first, inside) = (By(LoraStrategy.Composed), By(LoraStrategy.FusedNf4));
            for (var i = 0; i < 2; i++)
            {
                AssertClose([first[i]], [inside[i]], 1.0 / 256);
                var same = first[i].Zip(inside[i]).Count(pair => pair.First == pair.Second);
                Assert.InRange(same, 0.97 * first[i].Length, first[i].Length);
            }

            float[][] By(LoraStrategy strategy)
            {
                using var guard = TestDevice.Use(device);
                var cuda = (CudaDevice)Device.Default;
                cuda.LoraStrategy = strategy;
                var result = Linear(device, DType.BF16, rows, inputs, outputs, withBias);
                cuda.LoraStrategy = LoraStrategy.Auto;
                return result;
            }
        }
    }

    [Theory]
    [InlineData(5, 96, 20)]
    [InlineData(16, 33, 7)]
    public void FewTokensWithoutGradients_GiveTheSame(int rows, int inputs, int outputs)
    {
        foreach (var device in Devices)
        {
            using var guard = TestDevice.Use(device);
            using var host = Weight(outputs, inputs, nested: true);
            using var weight = host.To(Device.Default);
            var (x, bias) = (Leaf(1, DType.BF16, rows, inputs), Leaf(3, DType.F32, outputs));
            var (a, b) = (Leaf(4, DType.F32, 3, inputs), Leaf(5, DType.F32, outputs, 3));
            float[][] expected =
                [x.QuantizedLinear(weight, bias).ToArray(), x.LoraLinear(weight, bias, a, b, 0.5f).ToArray()];
            using var mode = GradMode.NoGrad();
            float[][] few =
                [x.QuantizedLinear(weight, bias).ToArray(), x.LoraLinear(weight, bias, a, b, 0.5f).ToArray()];
            // The decoding kernel rounds W0 and the result, not what lies between.
            AssertClose(expected, few, 1.0 / 64);
        }
    }

    private static float[][] Linear(string device, DType dtype, int rows, int inputs, int outputs, bool withBias)
    {
        using var guard = TestDevice.Use(device);
        using var host = Weight(outputs, inputs, nested: true);
        using var weight = host.To(Device.Default);
        var x = Leaf(1, dtype, rows, inputs);
        var bias = withBias ? Leaf(3, DType.F32, outputs) : null;
        var y = x.QuantizedLinear(weight, bias);
        var result = y.ToArray();
        y.Backward(Seed(y));
        return [result, x.Grad!.ToArray(), bias?.Grad!.ToArray() ?? []];
    }

    private static float[][] Lora(
        string device, DType dtype, LoraStrategy strategy, int rows, int inputs, int outputs, int rank, float dropout)
    {
        using var guard = TestDevice.Use(device);
        var cuda = Device.Default as CudaDevice;
        if (cuda is not null)
            cuda.LoraStrategy = strategy;
        using var host = Weight(outputs, inputs, nested: true);
        using var weight = host.To(Device.Default);
        var (x, bias) = (Leaf(1, dtype, rows, inputs), Leaf(3, DType.F32, outputs));
        var (a, b) = (Leaf(4, DType.F32, rank, inputs), Leaf(5, DType.F32, outputs, rank));
        var y = x.LoraLinear(weight, bias, a, b, 0.5f, new DropoutMask(dropout, 11, 5));
        var result = y.ToArray();
        y.Backward(Seed(y));
        if (cuda is not null)
            cuda.LoraStrategy = LoraStrategy.Auto;
        return [result, .. new[] { x, bias, a, b }.Select(t => t.Grad!.ToArray())];
    }

    private static Tensor Seed(Tensor y) => y.DType == DType.BF16
        ? OpCheck.Bf16Leaf(9, [.. Dims(y.Shape)])
        : GradientCheck.Leaf(9, y.Shape, requiresGrad: false);

    // The same values in both types: what is F32 is rounded to BF16 too.
    private static Tensor Leaf(int seed, DType dtype, params int[] dims)
    {
        if (dtype == DType.BF16)
            return OpCheck.Bf16Leaf(seed, dims);
        var leaf = Tensor.From(
            Array.ConvertAll(GradientCheck.Values(seed, Shape.Of(dims)), OpCheck.ToBf16), Shape.Of(dims));
        leaf.RequiresGrad = true;
        return leaf;
    }

    private static IEnumerable<int> Dims(Shape shape) => Enumerable.Range(0, shape.Rank).Select(i => shape[i]);

    private static QuantizedTensor Weight(int outputs, int inputs, bool nested)
    {
        using var values = Tensor.Owned(Shape.Of(outputs, inputs), device: Device.Cpu);
        values.CopyFrom(GradientCheck.Values(2, values.Shape));
        return QuantizedTensor.Quantize(values, new QuantizationOptions { DoubleQuant = nested, BlockSize = 32 }, "w");
    }

    private static void AssertClose(float[][] expected, float[][] actual, double tolerance)
    {
        for (var i = 0; i < expected.Length; i++)
        {
            Assert.Equal(expected[i].Length, actual[i].Length);
            var scale = expected[i].Select(Math.Abs).DefaultIfEmpty(0).Max();
            for (var k = 0; k < expected[i].Length; k++)
                Assert.Equal(expected[i][k], actual[i][k], tolerance * scale);
        }
    }
}
