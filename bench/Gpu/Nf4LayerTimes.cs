using System.Text.Json.Nodes;
using CudaLora.Engine;
using CudaLora.Kernels.Runtime;

namespace CudaLora.Bench.Gpu;

/// <summary>
/// Forward and backward of one LoRA layer on a 4-bit base for small batches: decoded first, or in registers. Cold
/// cache, medians.
/// </summary>
internal static class Nf4LayerTimes
{
    private const int Rank = 16;

    public static void Run(CudaDevice device, GpuReport report, GpuSizes sizes)
    {
        var quick = sizes == GpuSizes.Tiny;
        int[] tokens = quick ? [32] : [1, 17, 32, 64, 128, 256];
        (int Outputs, int Inputs)[] shapes = quick ? [(64, 64)] : [(4096, 4096), (14336, 4096), (4096, 14336)];
        using var timer = new LaunchTimer(device.Context, quick ? 2 : 50);
        foreach (var (n, k) in shapes)
        {
            using var weight = Weight(device, n, k);
            using var a = RandomTensors.Normal(device, DType.F32, Shape.Of(Rank, k), 4);
            using var b = RandomTensors.Normal(device, DType.F32, Shape.Of(n, Rank), 5);
            (a.RequiresGrad, b.RequiresGrad) = (true, true);
            foreach (var m in tokens)
            {
                using var x = RandomTensors.Normal(device, DType.BF16, Shape.Of(m, k), 1);
                using var dy = RandomTensors.Normal(device, DType.BF16, Shape.Of(m, n), 2);
                x.RequiresGrad = true;
                foreach (var strategy in new[] { LoraStrategy.Composed, LoraStrategy.Fused, LoraStrategy.FusedNf4 })
                    report.Add("4-bit LoRA layer", Row(device, timer, x, dy, weight, a, b, strategy));
                x.ReleaseGrad();
            }
        }
    }

    private static JsonObject Row(
        CudaDevice device, LaunchTimer timer, Tensor x, Tensor dy, QuantizedTensor weight, Tensor a, Tensor b,
        LoraStrategy strategy)
    {
        device.LoraStrategy = strategy;
        double forward = timer.Measure("forward", () => Step(false)).Cold;
        double both = timer.Measure("both", () => Step(true)).Cold;
        device.LoraStrategy = LoraStrategy.Auto;
        return new JsonObject
        {
            ["tokens"] = $"{x.Shape[0]}",
            ["out"] = $"{weight.Shape[0]}",
            ["in"] = $"{weight.Shape[1]}",
            ["strategy"] = strategy.ToString(),
            ["forward_ms"] = forward,
            ["backward_ms"] = both - forward,
        };

        void Step(bool backward)
        {
            using var scope = TensorScope.Begin();
            x.ZeroGrad();
            a.ZeroGrad();
            b.ZeroGrad();
            var y = x.LoraLinear(weight, null, a, b, 2);
            if (backward)
                y.Backward(dy);
        }
    }

    private static QuantizedTensor Weight(CudaDevice device, int outputs, int inputs)
    {
        using var values = RandomTensors.Normal(Device.Cpu, DType.F32, Shape.Of(outputs, inputs), 3);
        using var host = QuantizedTensor.Quantize(values, new QuantizationOptions { DoubleQuant = true }, "w");
        return host.To(device);
    }
}
