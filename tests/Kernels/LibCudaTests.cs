using System.Runtime.CompilerServices;
using System.Runtime.InteropServices;
using CudaLora.Kernels.Driver;
using CudaLora.Kernels.Ops;
using CudaLora.Kernels.Runtime;

namespace CudaLora.Tests;

/// <summary>
/// The ABI of the driver calls: struct layouts against the values of cuda.h 12.4, and every call through the real
/// function
/// pointers into a C library with NVIDIA's prototypes that logs what arrived.
/// </summary>
public sealed unsafe class LibCudaTests
{
    [Fact]
    public void StructsHaveTheHeadersLayout()
    {
        Assert.Equal(56, sizeof(LaunchConfig));
        LaunchConfig config;
        Assert.Equal(0, (byte*)&config.GridX - (byte*)&config);
        Assert.Equal(12, (byte*)&config.BlockX - (byte*)&config);
        Assert.Equal(24, (byte*)&config.SharedBytes - (byte*)&config);
        Assert.Equal(32, (byte*)&config.Stream - (byte*)&config);
        Assert.Equal(40, (byte*)&config.Attributes - (byte*)&config);
        Assert.Equal(48, (byte*)&config.AttributeCount - (byte*)&config);
        Assert.Equal(72, sizeof(LaunchAttribute));
        LaunchAttribute attribute;
        Assert.Equal(8, (byte*)&attribute.X - (byte*)&attribute);
        Assert.Equal(128, sizeof(TensorMap));
        Assert.Equal(24, sizeof(GraphUpdateInfo));
        GraphUpdateInfo info;
        Assert.Equal(8, (byte*)&info.ErrorNode - (byte*)&info);
        Assert.Equal(8, Unsafe.SizeOf<DevicePointer<float>>());
        Assert.Equal((4u, 6u), (LaunchAttribute.ClusterDimension, LaunchAttribute.ProgrammaticStreamSerialization));
    }

    [Fact]
    public void AMissingLibraryIsAnAnswer()
    {
        Assert.False(LibCuda.TryLoad("libcuda-of-nowhere.so.1", out LibCuda? driver, out string reason));
        Assert.Null(driver);
        Assert.Contains("libcuda-of-nowhere.so.1 was not found", reason, StringComparison.Ordinal);
    }

    [Fact]
    public void ALibraryThatIsNoDriverIsAnAnswer()
    {
        string path = StubLibrary.Require("empty.c", "libempty.so.1");
        Assert.False(LibCuda.TryLoad(path, out _, out string reason));
        Assert.Contains("lacks cuInit", reason, StringComparison.Ordinal);
    }

    [Fact]
    public void AKernelRunsEndToEnd()
    {
        LibCuda driver = Load(out _);
        Assert.EndsWith("CUDA 12.4", driver.Name, StringComparison.Ordinal);
        Assert.True(DriverProbe.Answers(driver, out string reason));
        Assert.EndsWith("1 device, Stub 0", reason, StringComparison.Ordinal);
        using CudaContext context = CudaContext.Open(driver);
        KernelLab lab = KernelLab.All.Single(candidate => candidate.Entry == "vector_add_f32");
        LabRun run = lab.Run(context, [1000]);
        Assert.Equal(0, run.Error);
    }

    [Fact]
    public void PropertiesArriveByTheirNumbers()
    {
        LibCuda driver = Load(out _);
        using CudaContext context = CudaContext.Open(driver);
        DeviceProperties p = context.Properties;
        Assert.Equal(("Stub 0", 5_000_000_000UL), (p.Name, p.MemoryBytes));
        // The stub answers 1000 + the attribute's number in cuda.h.
        Assert.Equal(10 * 1075 + 1076, p.Capability);
        Assert.Equal((1016, 1038, 1097, 1081, 1082, 1001),
            (p.Multiprocessors, p.L2Bytes, p.MaxSharedPerBlock, p.SharedPerMultiprocessor, p.RegistersPerMultiprocessor,
            p.MaxThreadsPerBlock));
        Assert.Equal((new Dim3(1002, 1003, 1004), new Dim3(1005, 1006, 1007)), (p.MaxBlock, p.MaxGrid));
        Assert.Equal(2e3 * 1036 * (1037 / 8.0), p.PeakBytesPerSecond);
        Assert.Throws<CudaException>(() => CudaContext.Open(driver, 3));
    }

    [Fact]
    public void LaunchesArriveWithEveryField()
    {
        LibCuda driver = Load(out nint library);
        int packed = 0x04030201;
        driver.LaunchKernel(0xabc, new LaunchShape(new Dim3(1, 2, 3), new Dim3(4, 5, 6), 7), 0xdef, &packed, 4);
        driver.LaunchKernel(
            0xabc, new LaunchShape(new Dim3(2, 4, 6), new Dim3(4, 5, 6), 7, new Dim3(2, 1, 3)) { Programmatic = true },
            0xdef, &packed, 4);
        Assert.Equal(
            [
                "args 4:01020304",
                "launch 0xabc grid 1 2 3 block 4 5 6 shared 7 stream 0xdef params (nil)",
                "args 4:01020304", "attribute 4 2 1 3", "attribute 6 1 0 0",
                "launch ex 0xabc grid 2 4 6 block 4 5 6 shared 7 stream 0xdef params (nil)",
            ],
            StubLibrary.Log(library));
    }

    [Fact]
    public void ALaunchThroughTheRealPointersAllocatesNothing()
    {
        LibCuda driver = Load(out nint library);
        using CudaContext context = CudaContext.Open(driver);
        Kernel<long> kernel = context.Modules.Kernel<long>("VectorAdd", "vector_add_f32");
        kernel.Launch(context.Stream, new LaunchShape(1, 32), 5);
        Assert.Equal(0, Allocations.Least(() =>
        {
            StubLibrary.Clear(library);
            for (int i = 0; i < 100; i++) kernel.Launch(context.Stream, new LaunchShape(1, 32), 5);
        }));
        Assert.Equal(200, StubLibrary.Log(library).Length);
    }

    [Fact]
    public void ModulesFunctionsAndLogsArrive()
    {
        LibCuda driver = Load(out nint library);
        using CudaContext context = CudaContext.Open(driver);
        StubLibrary.Clear(library);
        using (CudaModule module = CudaModule.Load(context, "TEXT", "text.ptx"))
        {
            Assert.Equal(12, AssemblerLog.Parse(module.Log).Entries.Single().Registers);
            CudaFunction function = module.Function("k");
            Assert.Equal((104, 101, 103, 100),
                (function.Registers, function.SharedBytes, function.LocalBytes, function.MaxThreads));
            Assert.Equal((0x4400000000UL, 0x100000001UL), module.Global("g"));
            Kernel<int> kernel = module.Kernel<int>("k");
            Assert.Equal(7, kernel.BlocksPerMultiprocessor(new LaunchShape(1, 64, 65536)));
            var missing = Assert.Throws<CudaException>(() => module.Function("missing"));
            Assert.Contains("entry missing of text.ptx", missing.Message, StringComparison.Ordinal);
        }
        string[] log = StubLibrary.Log(library);
        Assert.Equal(["module 4 bytes, 6 options", "function 0x22 k", "global 0x22 g"], log.Take(3));
        Assert.Contains("set function 0x33 8 65536", log);
        Assert.Contains("occupancy 0x33 64 65536", log);
        Assert.Equal("unload 0x22", log[^1]);
        var broken = Assert.Throws<CudaException>(() => CudaModule.Load(context, "BROKEN", "broken.ptx"));
        Assert.Contains(
            "218 CUDA_ERROR_INVALID_PTX (broken.ptx: ptxas line 1; error: broken)", broken.Message,
            StringComparison.Ordinal);
    }

    [Fact]
    public void MemoryCallsArrive()
    {
        LibCuda driver = Load(out nint library);
        using CudaContext context = CudaContext.Open(driver);
        StubLibrary.Clear(library);
        using (DeviceBuffer<int> a = context.Memory.Upload<int>([1, 2, 3, 4]), b = context.Memory.Allocate<int>(4))
        {
            context.Stream.Copy(a.Pointer + 1, b.Pointer, 3);
            b.Upload([9]);
            Assert.Equal([9, 3, 4], b.ToArray()[..3]);
            Assert.Equal(CudaResult.Success, driver.MemsetD32Async(a.Pointer.Address, 7, 4, 0x66));
            Assert.Equal([7, 7, 7, 7], a.ToArray());
            a.Zero();
            Assert.Equal([0, 0, 0, 0], a.ToArray());
        }
        Assert.Equal(
            [
                "alloc async 16 0x66", "h2d 16 0x66", "alloc async 16 0x66", "d2d 12 0x66", "h2d 4 0x66", "d2h 16 0x66",
                "stream synchronize 0x66", "set32 7 4 0x66", "d2h 16 0x66", "stream synchronize 0x66", "set8 0 16 0x66",
                "d2h 16 0x66", "stream synchronize 0x66", "free async 0x66", "free async 0x66",
            ],
            StubLibrary.Log(library));
        using (var pinned = new PinnedBuffer<double>(context, 3)) Assert.Equal([0.0, 0.0, 0.0], pinned.Span.ToArray());
        Assert.Throws<CudaOutOfMemoryException>(() => context.Memory.AllocateBytes(1UL << 41, context.Stream));
        Assert.Equal(CudaResult.Success, driver.MemAlloc(out ulong plain, 64));
        Assert.Equal(CudaResult.Success, driver.MemFree(plain));
        driver.MemPoolSetAttribute(0x55, MemPoolAttribute.ReleaseThreshold, 0xfedcba9876543210);
        Assert.Equal("set pool 0x55 4 fedcba9876543210", StubLibrary.Log(library)[^1]);
        driver.MemPoolGetAttribute(0x55, MemPoolAttribute.UsedCurrent, out ulong inUse);
        Assert.Equal(0x123456789abUL + 7, inUse);
    }

    [Fact]
    public void TensorMapsArriveAligned()
    {
        LibCuda driver = Load(out nint library);
        using CudaContext context = CudaContext.Open(driver);
        StubLibrary.Clear(library);
        TensorMap map = TensorMaps.Encode2D(
            context, TensorMapType.BFloat16, new DevicePointer<ushort>(0x7700), 300, 200, 208, 128, 64,
            TensorMapSwizzle.Bytes128);
        Assert.Equal(
            ["map 0 9 rank 2 at 0x7700 dim 200 300 stride 416 box 64 128 step 1 1 modes 0 3 2 0"],
            StubLibrary.Log(library));
        Assert.All(MemoryMarshal.AsBytes<ulong>(((ReadOnlySpan<ulong>)map)[..]).ToArray(), b => Assert.Equal(0x5a, b));
    }

    [Fact]
    public void StreamsEventsAndGraphsArrive()
    {
        LibCuda driver = Load(out nint library);
        using CudaContext context = CudaContext.Open(driver);
        StubLibrary.Clear(library);
        using (var first = new CudaEvent(context))
        using (var second = new CudaEvent(context, timing: false))
        {
            first.Record(context.Stream);
            context.Stream.Wait(first);
            second.Synchronize();
            Assert.True(second.IsDone);
            Assert.False(context.Stream.IsIdle);
            Assert.Equal(1.5f, second.MillisecondsSince(first));
        }
        using (CudaGraph graph = CudaGraph.Capture(context.Stream, () => { }))
        {
            Assert.Equal(3, graph.Nodes);
            Assert.True(graph.Update(context.Stream, () => { }));
            graph.Launch(context.Stream);
        }
        Assert.Equal(
            [
                "event 0", "event 2", "record 0x77 0x66", "wait 0x66 0x77 0", "event synchronize 0x77",
                "event query 0x77",
                "stream query 0x66", "elapsed 0x77 0x77", "event destroy 0x77", "event destroy 0x77",
                "capture 0x66 2", "end capture 0x66", "nodes 0x88 (nil)", "instantiate 0x88 0", "graph destroy 0x88",
                "capture 0x66 2", "end capture 0x66", "nodes 0x88 (nil)", "update 0x99 0x88", "graph destroy 0x88",
                "graph launch 0x99 0x66", "exec destroy 0x99",
            ],
            StubLibrary.Log(library));
    }

    private static LibCuda Load(out nint library)
    {
        string path = StubLibrary.Require("libcuda_stub.c", "libcuda.so.1");
        Assert.True(LibCuda.TryLoad(path, out LibCuda? driver, out string reason), reason);
        library = NativeLibrary.Load(path);
        StubLibrary.Clear(library);
        return driver;
    }
}
