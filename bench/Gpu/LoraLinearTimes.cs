using System.Text.Json.Nodes;
using CudaLora.Bench.Ops;
using CudaLora.Engine;
using CudaLora.Kernels.Blas;
using CudaLora.Kernels.Runtime;

namespace CudaLora.Bench.Gpu;

/// <summary>
/// Forward and backward of one LoRA layer by every strategy, over the bare product of the library. BF16 base and
/// activations, F32 adapter, no dropout; cold cache, medians.
/// </summary>
internal static class LoraLinearTimes
{
    private static readonly LoraStrategy[] Strategies =
        [LoraStrategy.Composed, LoraStrategy.BlockMatrix, LoraStrategy.Fused, LoraStrategy.FusedMma];

    public static void Run(CudaDevice device, GpuReport report, GpuSizes sizes)
    {
        IEnumerable<LoraLinearBench.LoraSize> all = sizes switch
        {
            GpuSizes.Tiny => [new(32, 64, 64, 8)],
            GpuSizes.Full => LoraGrid.All,
            _ => LoraGrid.Usual,
        };
        using var timer = new LaunchTimer(device.Context, sizes == GpuSizes.Tiny ? 2 : 50);
        foreach (var shape in all.GroupBy(size => (size.Rows, size.Out, size.In)))
        {
            var (m, n, k) = shape.Key;
            using var x = RandomTensors.Normal(device, DType.BF16, Shape.Of(m, k), 1);
            using var dy = RandomTensors.Normal(device, DType.BF16, Shape.Of(m, n), 2);
            using var w = RandomTensors.Normal(device, DType.BF16, Shape.Of(n, k), 3);
            var (bareForward, bareBackward) = Bare(device, timer, m, n, k, x, dy, w);
            report.Add("LoRA layer", Row(m, n, k, 0, "bare product", bareForward, bareBackward, null, null));
            foreach (var size in shape)
            {
                foreach (var strategy in Strategies)
                    One(device, timer, report, x, dy, w, size.Rank, strategy, bareForward, bareBackward);
            }
        }
    }

    private static void One(
        CudaDevice device, LaunchTimer timer, GpuReport report, Tensor x, Tensor dy, Tensor w, int r,
        LoraStrategy strategy, double bareForward, double bareBackward)
    {
        var (m, n, k) = (x.Shape[0], w.Shape[0], w.Shape[1]);
        using var a = Trainable(device, Shape.Of(r, k), 4);
        using var b = Trainable(device, Shape.Of(n, r), 5);
        device.LoraStrategy = strategy;
        x.RequiresGrad = true;
        double forward = timer.Measure("forward", () => Step(false)).Cold;
        double both = timer.Measure("both", () => Step(true)).Cold;
        x.RequiresGrad = false;
        x.ReleaseGrad();
        device.LoraStrategy = LoraStrategy.Auto;
        report.Add(
            "LoRA layer",
            Row(m, n, k, r, strategy.ToString(), forward, both - forward, forward / bareForward,
                (both - forward) / bareBackward));

        void Step(bool backward)
        {
            using var scope = TensorScope.Begin();
            x.ZeroGrad();
            a.ZeroGrad();
            b.ZeroGrad();
            var y = x.LoraLinear(w, null, a, b, 2);
            if (backward)
                y.Backward(dy);
        }
    }

    private static (double Forward, double Backward) Bare(
        CudaDevice device, LaunchTimer timer, int m, int n, int k, Tensor x, Tensor dy, Tensor w)
    {
        using var y = Tensor.Owned(Shape.Of(m, n), DType.BF16, device);
        using var dx = Tensor.Owned(Shape.Of(m, k), DType.BF16, device);
        var forward = GemmShape.Dense(m, n, k, false, true, GemmType.BF16, GemmType.BF16);
        var backward = GemmShape.Dense(m, k, n, false, false, GemmType.BF16, GemmType.BF16);
        return (
            timer.Measure("y", () => device.Gemm.Run(
                device.Stream, forward, x.DeviceAddress, w.DeviceAddress, y.DeviceAddress)).Cold,
            timer.Measure("dx", () => device.Gemm.Run(
                device.Stream, backward, dy.DeviceAddress, w.DeviceAddress, dx.DeviceAddress)).Cold);
    }

    private static JsonObject Row(
        int m, int n, int k, int r, string name, double forward, double backward, double? forwardRatio,
        double? backwardRatio) => new()
        {
            ["tokens"] = $"{m}",
            ["out"] = $"{n}",
            ["in"] = $"{k}",
            ["r"] = r == 0 ? "-" : $"{r}",
            ["strategy"] = name,
            ["forward_ms"] = forward,
            ["forward_over_bare"] = forwardRatio,
            ["backward_ms"] = backward,
            ["backward_over_bare"] = backwardRatio,
            ["forward_tflops"] = 2e-9 * m * n * k / forward,
        };

    private static Tensor Trainable(CudaDevice device, Shape shape, ulong seed)
    {
        var tensor = RandomTensors.Normal(device, DType.F32, shape, seed, 0.02f);
        tensor.RequiresGrad = true;
        return tensor;
    }
}
