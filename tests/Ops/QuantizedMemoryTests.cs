using CudaLora.Engine;

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
}
