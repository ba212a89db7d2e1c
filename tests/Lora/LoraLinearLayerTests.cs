using CudaLora.Engine;
using CudaLora.Lora;

namespace CudaLora.Tests.Lora;

/// <summary>LoRA on a linear layer that belongs to no model.</summary>
public class LoraLinearLayerTests
{
    [Fact]
    public void TrainsTheAdapterAndLeavesTheLayer()
    {
        var random = new Generator(3);
        using var layer = new Linear(6, 4, random);
        var weight = layer.Weight.Value.ToArray();
        using var lora = LoraLinear.From(layer, new LoraConfig { R = 2, LoraAlpha = 4 }, random);
        Assert.Equal((2, 2f, "linear.lora_A.weight"), (lora.Rank, lora.Scale, lora.A.Path.Value));
        using var adam = new AdamW(lora.Parameters(), learningRate: 0.02);
        using var x = GradientFree(5, 6, 1);
        using var y = GradientFree(5, 4, 2);
        var losses = new List<float>();
        for (var step = 0; step < 300; step++)
        {
            using var scope = TensorScope.Begin();
            var error = layer.Forward(x) - y;
            var loss = (error * error).Mean();
            adam.ZeroGrad();
            loss.Backward();
            adam.Step();
            losses.Add(loss.Item());
        }
        // Rank 2 of 4 outputs: it cannot reach zero, but takes most of the error away.
        Assert.True(losses[^1] < 0.5 * losses[0], $"{losses[0]} to {losses[^1]}");
        Assert.Equal(weight, layer.Weight.Value.ToArray());
        Assert.Null(layer.Weight.Value.Grad);
    }

    [Fact]
    public void MergeMovesTheWorkIntoTheLayer()
    {
        var random = new Generator(3);
        using var layer = new Linear(6, 4, random);
        using var scope = TensorScope.Begin();
        var x = GradientFree(5, 6, 1);
        var plain = layer.Forward(x).ToArray();
        using (var lora = LoraLinear.From(layer, new LoraConfig { R = 2, InitLoraWeights = LoraInit.Random }, random))
        {
            var apart = layer.Forward(x).ToArray();
            Assert.NotEqual(plain, apart);
            lora.Merge();
            Near(apart, layer.Forward(x).ToArray());
            lora.Unmerge();
            Near(plain, x.Linear(layer.Weight, layer.Bias!.Value).ToArray());
        }
        Assert.Null(layer.Adapter);
    }

    [Fact]
    public void WrongRanksAndShapesAreRefused()
    {
        var random = new Generator(3);
        using var layer = new Linear(6, 4, random);
        Assert.Equal(
            "r must be at least 1, but is 0",
            Assert.Throws<UserErrorException>(() => LoraLinear.From(layer, new LoraConfig { R = 0 }, random)).Message);
        using var scope = TensorScope.Begin();
        var error = Assert.Throws<UserErrorException>(() => new LoraLinear(
            layer, Tensor.Zeros(Shape.Of(2, 5)), Tensor.Zeros(Shape.Of(4, 2)), 1));
        Assert.Equal(
            "linear: A must be (r, 6) and B (4, r), but got A (2, 5), B (4, 2): the adapter is for another base model",
            error.Message);
    }

    private static Tensor GradientFree(int rows, int columns, ulong seed)
    {
        var tensor = Tensor.Empty(Shape.Of(rows, columns));
        RandomParameters.Fill(tensor, Initializer.Normal(1), new Generator(seed));
        return tensor;
    }

    // One rounding per merged weight, six products per output.
    private static void Near(float[] expected, float[] actual)
    {
        for (var i = 0; i < expected.Length; i++)
            Assert.Equal(expected[i], actual[i], 2e-6);
    }
}
