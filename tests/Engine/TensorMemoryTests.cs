using CudaLora.Engine;

namespace CudaLora.Tests.Engine;

public class TensorMemoryTests
{
    // A device of its own: the shared one is in use by the tests that run beside this one.
    private readonly Device device = new CpuDevice();

    [Fact]
    public void Scope_ReleasesWhatWasNotKept()
    {
        var before = device.Memory.InUse;
        Tensor kept;
        Tensor lost;
        using (var scope = TensorScope.Begin())
        {
            lost = Tensor.Zeros(Shape.Of(1000), device: device);
            kept = scope.Keep(Tensor.Zeros(Shape.Of(1000), device: device));
        }
        Assert.Throws<ObjectDisposedException>(() => lost.Span<float>());
        Assert.Equal(0f, kept.Span<float>()[999]);
        kept.Dispose();
        Assert.Equal(before, device.Memory.InUse);
    }

    [Fact]
    public void Scope_GivesUpSavedTensorsOfAGraphThatNeverRanBackward()
    {
        var before = device.Memory.InUse;
        using (TensorScope.Begin())
        {
            var x = Tensor.Zeros(Shape.Of(64), device: device);
            x.RequiresGrad = true;
            _ = x.Reshape(Shape.Of(8, 8)).Reshape(Shape.Of(4, 16));
        }
        Assert.Equal(before, device.Memory.InUse);
    }

    [Fact]
    public void WarmPool_AsksTheSystemForNothing()
    {
        Round();
        var (_, _, _, allocations) = device.Memory;
        for (var i = 0; i < 10; i++)
            Round();
        Assert.Equal(allocations, device.Memory.NativeAllocations);

        void Round()
        {
            using var scope = TensorScope.Begin();
            for (var n = 1; n < 5_000_000; n *= 3)
                Tensor.Empty(Shape.Of(n), device: device);
        }
    }

    [Theory]
    [InlineData(1)]
    [InlineData(64)]
    [InlineData(65)]
    [InlineData(1_000_000)]
    [InlineData(123_457)]
    public void Bucket_HoldsTheTensorWithAtMostAnEighthOfSlack(int count)
    {
        using var scope = TensorScope.Begin();
        var storage = Tensor.Empty(Shape.Of(count), device: device).Memory;
        Assert.True(storage.Capacity >= count * 4L);
        Assert.True(count <= 64 || storage.Capacity <= count * 4L * 2);
    }

    [Fact]
    public void WrongUse_IsOneClearMessage()
    {
        using var scope = TensorScope.Begin();
        var x = Tensor.Zeros(Shape.Of(2, 3));
        var reshape = Assert.Throws<ArgumentException>(() => x.Reshape(Shape.Of(7)));
        Assert.Equal("[reshape] element counts must match, but got 6 and 7 (x (2, 3), shape (7))", reshape.Message);
        Assert.Throws<InvalidOperationException>(() => x.Span<byte>());
        Assert.Throws<InvalidOperationException>(() => x.Item());
        Assert.Throws<ArgumentException>(() => Tensor.From([1f], Shape.Of(2)));
        Assert.Throws<ArgumentException>(() => Shape.Of(1, 1, 1, 1, 1, 1, 1));
    }
}
