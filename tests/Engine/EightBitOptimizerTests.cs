using CudaLora.Engine;
using CudaLora.Tests.Ops;

namespace CudaLora.Tests.Engine;

public class EightBitOptimizerTests
{
    [Theory, OnDevices]
    public void LargeParameters_HaveEightBitStates_ThatAFileBringsBack(string device)
    {
        using var guard = OpCheck.On(device);
        using var folder = new TemporaryFolder();
        using var large = Parameter("large", 64, 64);
        using var small = Parameter("small", 63, 65);
        using var optimizer = Optimizer(large, small);
        Assert.Equal(
            ["large.exp_avg U8", "large.exp_avg.absmax F32", "large.exp_avg_sq U8", "large.exp_avg_sq.absmax F32",
             "small.exp_avg F32", "small.exp_avg_sq F32"],
            optimizer.State().Select(part => $"{part.Name} {part.Value.DType}"));
        // 1 + 4 / 256 bytes for each moment of the large one.
        Assert.Equal(
            (2 * (4096 + 64)) + (2 * 4 * 4095), optimizer.State().Sum(part => part.Value.ByteCount));
        Step(optimizer, large, small, 1);
        TensorFiles.Write(folder.File("state.safetensors"), optimizer.State());
        var kept = large.Value.ToArray();
        Step(optimizer, large, small, 2);
        var expected = large.Value.ToArray();

        large.Value.CopyFrom(kept);
        using var resumed = Optimizer(large, small);
        TensorFiles.Read(folder.File("state.safetensors"), resumed.State());
        resumed.StepCount = 1;
        Step(resumed, large, small, 2);
        Assert.Equal(expected, large.Value.ToArray());

        using var wide = new AdamW([new ParameterGroup([large, small], 0.01)]);
        Assert.Contains(
            "tensor 'large.exp_avg' must be F32, but is U8",
            Assert.Throws<UserErrorException>(
                () => TensorFiles.Read(folder.File("state.safetensors"), wide.State())).Message,
            StringComparison.Ordinal);
    }

    private static AdamW Optimizer(params Parameter[] parameters) =>
        new([new ParameterGroup(parameters, 0.01)], eightBit: true);

    private static Parameter Parameter(string name, int rows, int columns)
    {
        var values = Tensor.Owned(Shape.Of(rows, columns));
        values.Fill(1);
        return new Parameter(new ParameterPath(name), values) { Trainable = true };
    }

    private static void Step(AdamW optimizer, Parameter large, Parameter small, int seed)
    {
        using var scope = TensorScope.Begin();
        optimizer.ZeroGrad();
        foreach (var parameter in new[] { large, small })
        {
            var weights = Tensor.From(GradientCheck.Values(seed, parameter.Value.Shape), parameter.Value.Shape);
            (parameter.Value * weights).Sum().Backward();
        }
        optimizer.Step();
    }
}
