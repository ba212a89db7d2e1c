using CudaLora.Engine;
using CudaLora.Kernels.Emulator;

namespace CudaLora.Tests.Ops;

/// <summary>What a frozen 4-bit layer keeps; alone, as the device's figures are those of all threads.</summary>
[Collection("threads")]
public class QuantizedMemoryTests
{
    // Only y is left after forward: neither x, of a frozen layer, nor any value of W. And backward needs no more than
    // dX.
    [Fact]
    public void NothingIsKeptForBackward()
    {
        using var w = QuantizedLinearTests.Weight(512, 1024);
        using var scope = TensorScope.Begin();
        var x = OpCheck.Leaf(1, 256, 1024);
        var before = Device.Cpu.Memory.InUse;
        Device.Cpu.ResetPeakMemory();
        var y = x.QuantizedLinear(w);
        Assert.Equal(0, y.Producer!.SavedCount);
        Assert.Equal(y.Memory.Capacity, Device.Cpu.Memory.InUse - before);
        Assert.Equal(y.Memory.Capacity, Device.Cpu.Memory.Peak - before);
        var dy = OpCheck.Leaf(2, 256, 512);
        before = Device.Cpu.Memory.InUse;
        Device.Cpu.ResetPeakMemory();
        y.Backward(dy);
        // dX itself, 1 MiB; W would be 2 MiB.
        Assert.True(Device.Cpu.Memory.Peak - before <= x.Grad!.Memory.Capacity + dy.Memory.Capacity);
    }

    // W decoded to BF16 is 1 MiB: one buffer of the pool holds it for every layer, forward and backward, in turn.
    // Decoded in registers, it is nowhere.
    [Theory]
    [InlineData(LoraStrategy.Composed)]
    [InlineData(LoraStrategy.FusedNf4)]
    public void OnADevice_OneBufferServesAllLayersBothWays(LoraStrategy strategy)
    {
        using var device = new CudaDevice(
            new EmulatedDriver(), new CudaDeviceOptions { LoraStrategy = strategy }, ownsDriver: true);
        using var host = QuantizedLinearTests.Weight(512, 1024);
        using var otherHost = QuantizedLinearTests.Weight(1024, 512);
        using QuantizedTensor w = host.To(device), other = otherHost.To(device);
        using var guard = Device.Use(device);
        using var scope = TensorScope.Begin();
        var decoded = Device.PooledSize(512 * 1024 * 2);
        var x = OpCheck.Bf16Leaf(1, 32, 1024);
        var (a, b) = (OpCheck.Leaf(3, 4, 512), OpCheck.Leaf(4, 1024, 4));
        var before = device.Memory.InUse;
        device.ResetPeakMemory();
        var y = x.QuantizedLinear(w);
        Assert.Equal(0, y.Producer!.SavedCount);
        Assert.Equal(y.Memory.Capacity, device.Memory.InUse - before);
        var most = strategy == LoraStrategy.Composed ? decoded : decoded / 4;
        Assert.InRange(device.Memory.Peak - before, 0, y.Memory.Capacity + most);
        // With an adapter y is kept for dA, and S; of W again nothing.
        var z = y.LoraLinear(other, null, a, b, 0.5f);
        Assert.InRange(device.Memory.InUse - before, 0, y.Memory.Capacity + z.Memory.Capacity + 1024);
        var (reserved, beforeBackward) = (device.Memory.Reserved, device.Memory.InUse);
        device.ResetPeakMemory();
        z.Backward(OpCheck.Bf16Leaf(2, 32, 1024));
        Assert.True(device.Memory.Reserved - reserved < decoded);
        Assert.InRange(device.Memory.Peak - beforeBackward, 0, most + (decoded / 2));
    }
}
