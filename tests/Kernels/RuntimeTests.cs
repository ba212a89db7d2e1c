using System.Runtime.InteropServices;
using CudaLora.Kernels.Driver;
using CudaLora.Kernels.Ops;
using CudaLora.Kernels.Runtime;

namespace CudaLora.Tests;

/// <summary>The layer above the driver seam, on a driver that records what it is asked.</summary>
public class RuntimeTests
{
    private readonly RecordingDriver driver = new();

    [Fact]
    public void LaunchHandsOverTheArgumentsAsOneBlock()
    {
        using CudaContext context = CudaContext.Open(driver);
        VectorAdd.Launch(context.Stream, new(new(0x1111), new(0x2222), new(0x3333), 1000));

        Assert.Equal(new LaunchShape(4, 256), driver.Shape);
        Assert.Equal(28, driver.Packed.Length);
        Assert.Equal(
            [0x1111, 0x2222, 0x3333], MemoryMarshal.Cast<byte, ulong>(driver.Packed.AsSpan(0, 24)).ToArray());
        Assert.Equal(1000, MemoryMarshal.Read<int>(driver.Packed.AsSpan(24)));
    }

    [Fact]
    public void LaunchAllocatesNothing()
    {
        using CudaContext context = CudaContext.Open(driver);
        var args = new RmsNorm.ForwardArgs(1, new(2), 3, new(4), 8, 64, 1e-5f);
        RmsNorm.Forward(context.Stream, args, bf16: true);
        driver.Recording = false;
        Assert.Equal(0, Allocations.Least(() =>
        {
            for (int i = 0; i < 1000; i++) RmsNorm.Forward(context.Stream, args, bf16: true);
        }));
    }

    [Fact]
    public void SharedMemoryAboveTheDefaultIsAskedForOnce()
    {
        using CudaContext context = CudaContext.Open(driver);
        Kernel<int> kernel = context.Modules.Kernel<int>("VectorAdd", "vector_add_f32");
        for (int i = 0; i < 3; i++) kernel.Launch(context.Stream, new LaunchShape(1, 32, 100_000), 7);
        kernel.Launch(context.Stream, new LaunchShape(1, 32, 16), 7);
        Assert.Equal(
            ["set MaxDynamicSharedBytes 100000"],
            driver.Calls.Where(c => c.StartsWith("set M", StringComparison.Ordinal)));
    }

    [Fact]
    public void AFailedLaunchNamesCallCodeKernelAndShape()
    {
        using CudaContext context = CudaContext.Open(driver);
        driver.Fail("launch", CudaResult.InvalidValue);
        var error = Assert.Throws<CudaException>(() => context.Modules.Kernel<int>("VectorAdd", "vector_add_f32")
            .Launch(context.Stream, new LaunchShape(new Dim3(1), new Dim3(64, 32), 16), 7));
        Assert.Equal(
            "[cuLaunchKernel] must succeed, but returned 1 CUDA_ERROR_INVALID_VALUE (kernel vector_add_f32: a block "
            + "has at most 1024 threads, this one 2048, grid (1, 1, 1), block (64, 32, 1), 16 B shared)",
            error.Message);
        Assert.Equal(("cuLaunchKernel", CudaResult.InvalidValue), (error.Call, error.Result));
    }

    [Fact]
    public void AFaultSurfacesAtItsKernelWhenAskedTo()
    {
        using CudaContext context = CudaContext.Open(driver);
        context.SynchronizeAfterLaunch = true;
        driver.Fail("stream", CudaResult.IllegalAddress);
        driver.LastFault = "line 40";
        var error = Assert.Throws<CudaException>(
            () => VectorAdd.Launch(context.Stream, new(new(1), new(2), new(3), 5)));
        Assert.Contains(
            "700 CUDA_ERROR_ILLEGAL_ADDRESS (kernel vector_add_f32: line 40", error.Message,
            StringComparison.Ordinal);
        Assert.EndsWith("this context cannot be used any more", error.Message, StringComparison.Ordinal);
    }

    [Fact]
    public void OutOfMemoryTrimsOnceAndThenSaysWhatThereIs()
    {
        using CudaContext context = CudaContext.Open(driver);
        using DeviceBuffer<float> held = context.Memory.Allocate<float>(1 << 20);
        driver.Fail("alloc", CudaResult.OutOfMemory);
        using (context.Memory.Allocate<float>(16)) Assert.Contains("trim", driver.Calls);

        driver.FailAlways("alloc", CudaResult.OutOfMemory);
        var error = Assert.Throws<CudaOutOfMemoryException>(() => context.Memory.Allocate<float>(256 << 20));
        Assert.Equal((1UL << 30, 4UL << 20, 1UL << 30), (error.Asked, error.InUse, error.Free));
        Assert.Contains("asked for 1024.0 MiB", error.Message, StringComparison.Ordinal);
        Assert.Contains("free 1024.0 MiB of 8192.0 MiB", error.Message, StringComparison.Ordinal);
    }

    [Fact]
    public void PoolCountsWhatIsOutAndKeepsItsMemory()
    {
        using CudaContext context = CudaContext.Open(driver);
        Assert.Contains("pool ReleaseThreshold ffffffffffffffff", driver.Calls);
        DeviceBuffer<double> a = context.Memory.Allocate<double>(100), b = context.Memory.Allocate<double>(50);
        Assert.Equal(1200, context.Memory.InUse);
        a.Dispose();
        a.Dispose();
        Assert.Equal((400L, 1200L, 2L), (context.Memory.InUse, context.Memory.Peak, context.Memory.Allocations));
        b.Dispose();
        Assert.Equal(0, context.Memory.InUse);
        Assert.Equal(2, driver.Calls.Count(call => call == "free async"));
    }

    [Fact]
    public void DevicesWithoutPoolsAreServedByPlainAllocation()
    {
        driver.Pools = false;
        using CudaContext context = CudaContext.Open(driver);
        context.Memory.Allocate<byte>(10).Dispose();
        Assert.Equal(["alloc 10", "stream synchronize", "free"], driver.Calls.TakeLast(3));
    }

    [Fact]
    public void GraphIsCapturedReplayedUpdatedAndRebuilt()
    {
        using CudaContext context = CudaContext.Open(driver);
        void Body() => VectorAdd.Launch(context.Stream, new(new(1), new(2), new(3), 5));
        Body();
        driver.Calls.Clear();
        using CudaGraph graph = CudaGraph.Capture(context.Stream, Body);
        graph.Launch(context.Stream);
        Assert.Equal(
            ["capture Relaxed", "launch", "end capture", "nodes", "instantiate", "graph destroy", "graph launch"],
            driver.Calls);
        Assert.Equal(2, graph.Nodes);
        Assert.True(graph.Update(context.Stream, Body));
        driver.Fail("update", CudaResult.GraphExecUpdateFailure);
        Assert.False(graph.Update(context.Stream, Body));
        Assert.Contains("exec destroy", driver.Calls);
    }

    [Fact]
    public void AnExceptionInACaptureLeavesTheStreamUsable()
    {
        using CudaContext context = CudaContext.Open(driver);
        Assert.Throws<InvalidOperationException>(
            () => CudaGraph.Capture(context.Stream, () => throw new InvalidOperationException("mine")));
        Assert.Equal(["end capture", "graph destroy"], driver.Calls.TakeLast(2));
    }

    [Fact]
    public void ResultNamesAreNvidias()
    {
        Assert.Equal("CUDA_ERROR_UNSUPPORTED_PTX_VERSION", CudaResult.UnsupportedPtxVersion.DriverName());
        Assert.Equal(222, (int)CudaResult.UnsupportedPtxVersion);
        Assert.Equal("CUDA_ERROR_12345", ((CudaResult)12345).DriverName());
        Assert.Equal("CUDA_SUCCESS", CudaResult.Success.DriverName());
    }
}
