using CudaLora.Engine;
using CudaLora.Kernels.Emulator;

namespace CudaLora.Tests.Engine;

/// <summary>The CUDA device's memory, on the emulator.</summary>
public class CudaDeviceTests
{
    [Fact]
    public void ValuesGoThereAndComeBack()
    {
        using var driver = new EmulatedDriver();
        using var device = new CudaDevice(driver);
        using var scope = TensorScope.Begin();
        float[] values = [1, -2, 3.5f, 0, 7, 8];
        var there = Tensor.From(values, Shape.Of(2, 3), device);
        Assert.Equal(DeviceKind.Cuda, there.Device.Kind);
        Assert.Equal(values, there.ToArray());
        var back = there.To(Device.Cpu);
        Assert.Equal(values, back.Span<float>());
        Assert.Same(there, there.To(device));
        there.Fill(2.5f);
        Assert.Equal(Enumerable.Repeat(2.5f, 6), there.ToArray());
        there.CopyFrom(back);
        Assert.Equal(values, there.ToArray());
        there.Clear();
        Assert.Equal(new float[6], there.ToArray());
        int[] ids = new int[3];
        Tensor.From([4, 5, 6], Shape.Of(3), device).CopyTo<int>(ids);
        Assert.Equal([4, 5, 6], ids);
    }

    [Fact]
    public void Bf16IsWidenedOnTheWayBack()
    {
        using var driver = new EmulatedDriver();
        using var device = new CudaDevice(driver);
        using var x = Tensor.Owned(Shape.Of(2), DType.BF16, device);
        x.CopyFrom([(ushort)0x3F80, (ushort)0xC040]);
        Assert.Equal([1f, -3f], x.ToArray());
    }

    [Fact]
    public void ItIsTheDefaultOnlyWhileInUse()
    {
        using var driver = new EmulatedDriver();
        using var device = new CudaDevice(driver);
        using var scope = TensorScope.Begin();
        using (Device.Use(device))
            Assert.Same(device, Tensor.Zeros(Shape.Of(2)).Device);
        Assert.Same(Device.Cpu, Tensor.Zeros(Shape.Of(2)).Device);
    }

    [Fact]
    public void HostPointersToDeviceMemoryAreRefused()
    {
        using var driver = new EmulatedDriver();
        using var device = new CudaDevice(driver);
        using var x = Tensor.Owned(Shape.Of(2), device: device);
        var error = Assert.Throws<InvalidOperationException>(() => x.Span<float>());
        Assert.StartsWith(
            "[tensor] elements must be in host memory, but tensor F32 (2) is on cuda:0", error.Message,
            StringComparison.Ordinal);
    }

    [Fact]
    public void ARepeatedShapeAsksTheDriverForNothing()
    {
        using var driver = new EmulatedDriver();
        using var device = new CudaDevice(driver);
        Step();
        var before = device.Memory.NativeAllocations;
        for (var i = 0; i < 3; i++)
            Step();
        Assert.Equal(before, device.Memory.NativeAllocations);
        Assert.Equal(0, device.Memory.InUse);

        void Step()
        {
            using var scope = TensorScope.Begin();
            Tensor.Zeros(Shape.Of(100, 30), device: device);
            Tensor.Zeros(Shape.Of(7), device: device);
        }
    }

    [Fact]
    public void ExactAllocationsGoBackToTheDriver()
    {
        using var driver = new EmulatedDriver();
        using var device = new CudaDevice(driver, new CudaDeviceOptions { ExactAllocations = true });
        using (Tensor.Owned(Shape.Of(3), device: device))
            Assert.Equal(12, device.Memory.Reserved);
        Assert.Equal(0, device.Memory.Reserved);
    }

    [Fact]
    public void OutOfMemoryIsOneMessageAndTheDeviceGoesOn()
    {
        using var driver = new EmulatedDriver(memoryBytes: 64 << 20);
        using var device = new CudaDevice(driver);
        using var some = Tensor.Owned(Shape.Of(1 << 20), device: device);
        var error = Assert.Throws<DeviceMemoryException>(() => Tensor.Owned(Shape.Of(32 << 20), device: device));
        Assert.Contains(
            "128 MiB asked, 4 MiB in use by tensors, 60 of 64 MiB free", error.Message, StringComparison.Ordinal);
        Assert.Contains("smaller batch", error.Message, StringComparison.Ordinal);
        some.Fill(3);
        Assert.Equal(3, some.ToArray()[^1]);
    }
}
