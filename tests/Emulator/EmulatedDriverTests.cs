using System.Runtime.InteropServices;
using CudaLora.Kernels.Driver;
using CudaLora.Kernels.Emulator;
using CudaLora.Kernels.Ops;
using CudaLora.Kernels.Runtime;

namespace CudaLora.Tests;

/// <summary>
/// The driver's calls as the emulator serves them: a host runs any PTX text, and every mistake is one message.
/// </summary>
public class EmulatedDriverTests
{
    private const string Head = ".version 8.0\n.target sm_80\n.address_size 64\n";

    private const string Scale = Head + """
        .visible .entry scale(.param .u64 x, .param .f32 factor, .param .u32 count)
        {
            .reg .pred outside;
            .reg .b32 i, n;
            .reg .b64 at, offset;
            .reg .f32 value, f;
            mov.u32 i, %tid.x;
            ld.param.u32 n, [count];
            setp.ge.u32 outside, i, n;
            @outside bra DONE;
            ld.param.u64 at, [x];
            ld.param.f32 f, [factor];
            mul.wide.u32 offset, i, 4;
            add.u64 at, at, offset;
            ld.global.f32 value, [at];
            mul.f32 value, value, f;
            st.global.f32 [at], value;
        DONE:
            ret;
        }
        """;

    [Fact]
    public void AHostRunsAnyText()
    {
        LaunchReport? seen = null;
        using var driver = new EmulatedDriver { Launched = report => seen = report };
        using CudaContext context = CudaContext.Open(driver);
        using CudaModule module = CudaModule.Load(context, Scale, "scale.ptx");
        Kernel<ScaleArgs> kernel = module.Kernel<ScaleArgs>("scale");
        using DeviceBuffer<float> x = context.Memory.Upload<float>([1, 2, 3, 4]);
        kernel.Launch(context.Stream, new LaunchShape(Grid: 1, Block: 32), new ScaleArgs(x.Pointer, 2.5f, 4));
        Assert.Equal([2.5f, 5, 7.5f, 10], x.ToArray());
        Assert.Equal((16, 16), (seen!.Counters.GlobalReadBytes, seen.Counters.GlobalWriteBytes));
        Assert.True(AssemblerLog.Parse(module.Log).Entries.Single().Registers > 0);
    }

    [Fact]
    public void AFaultNamesKernelLineAndThreadAndStays()
    {
        using var driver = new EmulatedDriver();
        using CudaContext context = CudaContext.Open(driver);
        Kernel<ScaleArgs> kernel = CudaModule.Load(context, Scale, "scale.ptx").Kernel<ScaleArgs>("scale");
        using DeviceBuffer<float> x = context.Memory.Upload<float>([1, 2, 3, 4]);
        var args = new ScaleArgs(x.Pointer, 2, 5);
        var error = Assert.Throws<CudaException>(() => kernel.Launch(context.Stream, new LaunchShape(1, 32), args));
        Assert.Equal(CudaResult.IllegalAddress, error.Result);
        Assert.Contains("kernel scale: [scale] OutOfBounds", error.Message, StringComparison.Ordinal);
        Assert.Contains("'ld.global.f32' block (0, 0, 0) warp 0 lane 4", error.Message, StringComparison.Ordinal);
        // As on a GPU the context is lost; the process is not.
        Assert.Throws<CudaException>(
            () => kernel.Launch(context.Stream, new LaunchShape(1, 32), args with { Count = 4 }));
        using var second = new EmulatedDriver();
        using CudaContext healthy = CudaContext.Open(second);
        Assert.Equal([7], healthy.Memory.Upload<int>([7]).ToArray());
    }

    [Fact]
    public void AKernelThatNeverEndsIsStopped()
    {
        using var driver = new EmulatedDriver(new EmulatorOptions { InstructionBudget = 10_000 });
        using CudaContext context = CudaContext.Open(driver);
        using CudaModule module = CudaModule.Load(
            context, Head + ".visible .entry spin(.param .u32 n)\n{\nAGAIN:\n    bra AGAIN;\n}\n", "spin.ptx");
        var error = Assert.Throws<CudaException>(
            () => module.Kernel<int>("spin").Launch(context.Stream, new LaunchShape(1, 32), 1));
        Assert.Equal(CudaResult.LaunchTimeout, error.Result);
        Assert.Contains("InstructionBudget", error.Message, StringComparison.Ordinal);
    }

    [Fact]
    public void WrongTextEntryArgumentsAndShapesAreOneMessageEach()
    {
        using var driver = new EmulatedDriver();
        using CudaContext context = CudaContext.Open(driver);
        var text = Assert.Throws<CudaException>(() => CudaModule.Load(context, Head + "frob;", "frob.ptx"));
        Assert.Contains("218 CUDA_ERROR_INVALID_PTX (frob.ptx: ", text.Message, StringComparison.Ordinal);
        Assert.Contains("(4,1)", text.Message, StringComparison.Ordinal);

        using CudaModule module = CudaModule.Load(context, Scale, "scale.ptx");
        var entry = Assert.Throws<CudaException>(() => module.Function("scales"));
        Assert.Contains(
            "500 CUDA_ERROR_NOT_FOUND (entry scales of scale.ptx; the module has the entries scale)", entry.Message,
            StringComparison.Ordinal);
        var arguments = Assert.Throws<CudaException>(
            () => module.Kernel<long>("scale").Launch(context.Stream, new LaunchShape(1, 32), 1));
        Assert.Equal(CudaResult.InvalidValue, arguments.Result);
        Assert.Contains("16", arguments.Message, StringComparison.Ordinal);
        var shape = Assert.Throws<CudaException>(() => module.Kernel<ScaleArgs>("scale")
            .Launch(context.Stream, new LaunchShape(1, 2048), default));
        Assert.Contains("1024", shape.Message, StringComparison.Ordinal);
        var shared = Assert.Throws<CudaException>(() => module.Kernel<ScaleArgs>("scale")
            .Launch(context.Stream, new LaunchShape(1, 32, 300_000), default));
        Assert.Contains("232448 B of shared memory", shared.Message, StringComparison.Ordinal);
    }

    [Fact]
    public void AGraphReplaysWhatWasRecorded()
    {
        using var driver = new EmulatedDriver();
        using CudaContext context = CudaContext.Open(driver);
        Kernel<ScaleArgs> kernel = CudaModule.Load(context, Scale, "scale.ptx").Kernel<ScaleArgs>("scale");
        using DeviceBuffer<float> x = context.Memory.Upload<float>([1, 1]), y = context.Memory.Allocate<float>(2);
        void Step(float factor)
        {
            kernel.Launch(context.Stream, new LaunchShape(1, 32), new ScaleArgs(x.Pointer, factor, 2));
            context.Stream.Copy(x.Pointer, y.Pointer, 2);
        }
        using CudaGraph graph = CudaGraph.Capture(context.Stream, () => Step(2));
        Assert.Equal(2, graph.Nodes);
        Assert.Equal([1, 1], x.ToArray());
        for (int i = 0; i < 3; i++) graph.Launch(context.Stream);
        Assert.Equal([8, 8], y.ToArray());
        Assert.True(graph.Update(context.Stream, () => Step(10)));
        graph.Launch(context.Stream);
        Assert.Equal([80, 80], y.ToArray());
        Assert.False(graph.Update(context.Stream, () => context.Stream.Zero(x.Pointer, 2)));
        graph.Launch(context.Stream);
        Assert.Equal([0, 0], x.ToArray());
    }

    [Fact]
    public void SynchronisingInACaptureIsRefused()
    {
        using var driver = new EmulatedDriver();
        using CudaContext context = CudaContext.Open(driver);
        var error = Assert.Throws<CudaException>(
            () => CudaGraph.Capture(context.Stream, context.Stream.Synchronize));
        Assert.Equal(CudaResult.StreamCaptureUnsupported, error.Result);
        context.Stream.Synchronize();
    }

    [Fact]
    public void AnEventDrawsASecondStreamIntoTheCapture()
    {
        using var driver = new EmulatedDriver();
        using CudaContext context = CudaContext.Open(driver);
        using var side = new CudaStream(context);
        using CudaEvent fork = new(context), join = new(context);
        using DeviceBuffer<int> x = context.Memory.Upload<int>([5, 5]);
        using CudaGraph graph = CudaGraph.Capture(context.Stream, () =>
        {
            fork.Record(context.Stream);
            side.Wait(fork);
            side.Zero(x.Pointer, 1);
            join.Record(side);
            context.Stream.Wait(join);
        });
        Assert.Equal([5, 5], x.ToArray());
        graph.Launch(context.Stream);
        Assert.Equal([0, 5], x.ToArray());
        side.Synchronize();
    }

    [Fact]
    public void MemoryRunsOutAtTheCapacity()
    {
        using var driver = new EmulatedDriver(memoryBytes: 1 << 20);
        using CudaContext context = CudaContext.Open(driver);
        using DeviceBuffer<byte> half = context.Memory.Allocate<byte>(600_000);
        var error = Assert.Throws<CudaOutOfMemoryException>(() => context.Memory.Allocate<byte>(600_000));
        Assert.Equal((600_000UL, 600_000UL), (error.Asked, error.InUse));
    }

    [Fact]
    public void UnusedDeviceMemoryIsNotReadAsIfItHeldSomething()
    {
        using var driver = new EmulatedDriver();
        using CudaContext context = CudaContext.Open(driver);
        Kernel<ScaleArgs> kernel = CudaModule.Load(context, Scale, "scale.ptx").Kernel<ScaleArgs>("scale");
        using DeviceBuffer<float> x = context.Memory.Allocate<float>(4);
        var error = Assert.Throws<CudaException>(
            () => kernel.Launch(context.Stream, new LaunchShape(1, 32), new ScaleArgs(x.Pointer, 2, 4)));
        Assert.Contains("UninitialisedRead", error.Message, StringComparison.Ordinal);
    }

    [Fact]
    public void TheLabsKernelsLaunchTheSameOnEveryDriver()
    {
        // The recording driver and the emulator see the same shape and block for the same call.
        var recorder = new RecordingDriver();
        using CudaContext recorded = CudaContext.Open(recorder);
        VectorAdd.Launch(recorded.Stream, new(new(16), new(32), new(48), 1000));
        using var driver = new EmulatedDriver();
        using CudaContext context = CudaContext.Open(driver);
        LabRun run = KernelLab.All.Single(lab => lab.Entry == "vector_add_f32").Run(context, [1000]);
        Assert.Equal(recorder.Shape, run.Launch);
    }

    [StructLayout(LayoutKind.Sequential, Pack = 4)]
    private readonly record struct ScaleArgs(DevicePointer<float> X, float Factor, int Count);
}
