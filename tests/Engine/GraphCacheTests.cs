using CudaLora.Engine;
using CudaLora.Kernels.Emulator;
using CudaLora.Kernels.Ops;
using CudaLora.Kernels.Runtime;

namespace CudaLora.Tests.Engine;

/// <summary>Captured work and its inputs, on the emulator.</summary>
public class GraphCacheTests
{
    [Fact]
    public void ReplaysReadWhatTheHostWroteSince()
    {
        using var driver = new EmulatedDriver();
        using var device = new CudaDevice(driver);
        using var graphs = new GraphCache(device);
        using var inputs = new InputSet(device);
        using var sum = Tensor.Owned(Shape.Of(4), device: device);
        var queued = 0;
        for (var round = 1; round <= 5; round++)
        {
            inputs.Begin();
            inputs.Set("a", [round, 2f, 3, 4], Shape.Of(4));
            inputs.Set("b", [10f, 10 * round, 10, 10], Shape.Of(4));
            inputs.Commit();
            graphs.Run(inputs.Key, Add, null);
            inputs.Used();
            Assert.Equal([10 + round, 2 + (10 * round), 13, 14], sum.ToArray());
        }
        // Once as it is, once for the capture; the rest are replays.
        Assert.Equal(2, queued);
        Assert.Equal(1, graphs.Count);

        void Add()
        {
            queued++;
            VectorAdd.Launch(device.Stream, new(Pointer(inputs["a"]), Pointer(inputs["b"]), Pointer(sum), 4));
        }
    }

    [Fact]
    public void OtherShapesAreOtherGraphs()
    {
        using var driver = new EmulatedDriver();
        using var device = new CudaDevice(driver);
        using var graphs = new GraphCache(device);
        using var inputs = new InputSet(device);
        foreach (var n in (int[])[3, 5, 3, 5, 3, 5])
        {
            var values = Enumerable.Range(0, n).Select(i => (float)i).ToArray();
            inputs.Begin();
            inputs.Set("a", values, Shape.Of(n));
            inputs.Commit();
            using var scope = TensorScope.Begin();
            Tensor? twice = null;
            graphs.Run(inputs.Key, () =>
            {
                twice = Tensor.Empty(Shape.Of(n), device: device);
                VectorAdd.Launch(
                    device.Stream, new(Pointer(inputs["a"]), Pointer(inputs["a"]), Pointer(twice), n));
            }, null);
            if (twice is not null)
                Assert.Equal(values.Select(v => 2 * v), twice.ToArray());
        }
        Assert.Equal(2, graphs.Count);
    }

    // A graph has the former address, whoever else still holds what is there.
    [Theory]
    [InlineData(false)]
    [InlineData(true)]
    public void AMatrixThatMovesForgetsTheGraphs(bool heldElsewhere)
    {
        using var driver = new EmulatedDriver();
        using var device = new CudaDevice(driver);
        using var graphs = new GraphCache(device);
        using var weight = Tensor.Owned(Shape.Of(2, 8), DType.BF16, device);
        weight.Put(Ones(1));
        using var view = heldElsewhere ? weight.Detach() : null;
        using var x = Tensor.Owned(Shape.Of(1, 8), DType.BF16, device);
        x.Put(Ones(1).View(Shape.Of(1, 8)));
        using var y = Tensor.Owned(Shape.Of(1, 2), DType.BF16, device);
        for (var i = 0; i < 2; i++)
            graphs.Run("product", Product, null);
        Assert.Equal([8f, 8], y.ToArray());
        Assert.Equal(1, graphs.Count);
        weight.MakeAdapterRoom();
        weight.Put(Ones(2));
        graphs.Run("product", Product, null);
        Assert.Equal([16f, 16], y.ToArray());

        void Product() => CudaProduct.Forward(x, CudaProduct.Rows(DType.BF16, weight), null, y);

        static Tensor Ones(float value)
        {
            var host = Tensor.Owned(Shape.Of(2, 8), device: Device.Cpu);
            host.Fill(value);
            return host;
        }
    }

    [Fact]
    public void MemoryGivenBackForgetsTheGraphs()
    {
        using var driver = new EmulatedDriver();
        using var device = new CudaDevice(driver);
        using var graphs = new GraphCache(device);
        using var sum = Tensor.Zeros(Shape.Of(4), device: device);
        for (var i = 0; i < 2; i++)
            graphs.Run("sum", () => sum.Clear(), null);
        Assert.Equal(1, graphs.Count);
        device.TrimPool();
        graphs.Run("sum", () => sum.Clear(), null);
        Assert.Equal(0, graphs.Count);
    }

    [Fact]
    public void WorkThatFailsWhileItIsCapturedLeavesTheStreamUsable()
    {
        using var driver = new EmulatedDriver();
        using var device = new CudaDevice(driver);
        using var graphs = new GraphCache(device);
        using var sum = Tensor.Zeros(Shape.Of(4), device: device);
        var random = new Generator(1);
        graphs.Run("fails", () => sum.Clear(), random);
        Assert.Throws<InvalidOperationException>(
            () => graphs.Run("fails", () => throw new InvalidOperationException("no"), random));
        Assert.Equal(0UL, random.DeviceBase);
        sum.Fill(2);
        Assert.Equal([2f, 2, 2, 2], sum.ToArray());
    }

    private static DevicePointer<float> Pointer(Tensor tensor) => new(tensor.DeviceAddress);
}
