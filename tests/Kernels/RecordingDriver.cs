using CudaLora.Kernels.Blas;
using CudaLora.Kernels.Driver;
using CudaLora.Kernels.Runtime;

namespace CudaLora.Tests;

/// <summary>
/// A driver that answers success, hands out numbers as handles and remembers what it was asked; a test can make the
/// next
/// call of a name fail.
/// </summary>
internal sealed unsafe class RecordingDriver : ICudaDriver
{
    private readonly Dictionary<string, CudaResult> failures = [];
    private readonly Dictionary<string, CudaResult> always = [];
    private nint next = 0x1000;

    public List<string> Calls { get; } = [];
    public byte[] Packed { get; private set; } = [];
    public LaunchShape Shape { get; private set; }
    /// <summary>Milliseconds between any two events.</summary>
    public float Elapsed { get; set; } = 2.5f;

    public bool Recording { get; set; } = true;
    public bool Pools { get; set; } = true;

    public string Name => "recording driver";
    public string? LastFault { get; set; }

    public void Fail(string call, CudaResult result) => failures[call] = result;

    public void FailAlways(string call, CudaResult result) => always[call] = result;

    public IGemm CreateGemm(CudaContext context) => new PtxGemm(context);

    public CudaResult Init() => Say("init");
    public CudaResult DriverGetVersion(out int version) => Answer("version", out version, 13000);
    public CudaResult DeviceGetCount(out int count) => Answer("count", out count, 1);
    public CudaResult DeviceGet(out int device, int ordinal) => Answer("device", out device, ordinal);
    public CudaResult DeviceGetName(out string name, int device) => Answer("name", out name, "Recorder");
    public CudaResult DeviceTotalMem(out ulong bytes, int device) => Answer("total", out bytes, 8UL << 30);
    public CudaResult DeviceGetAttribute(out int value, DeviceAttribute attribute, int device) => Answer(
        "attribute", out value, attribute switch
        {
            DeviceAttribute.MemoryPoolsSupported => Pools ? 1 : 0,
            DeviceAttribute.MaxThreadsPerBlock => 1024,
            DeviceAttribute.ClusterLaunch => 0,
            _ => 1 << 20,
        });
    public CudaResult DevicePrimaryCtxRetain(out nint context, int device) => Handle("retain", out context);
    public CudaResult DevicePrimaryCtxRelease(int device) => Say("release");
    public CudaResult CtxSetCurrent(nint context) => Say("current");
    public CudaResult CtxSynchronize() => Say("synchronize");

    public CudaResult ModuleLoadDataEx(
        out nint module, ReadOnlySpan<byte> image, ReadOnlySpan<JitOption> options, Span<nint> values) =>
        Handle("load", out module);
    public CudaResult ModuleUnload(nint module) => Say("unload");
    public CudaResult ModuleGetFunction(out nint function, nint module, string name) =>
        Handle($"function {name}", out function);
    public CudaResult ModuleGetGlobal(out ulong address, out nuint bytes, nint module, string name)
    {
        bytes = 16;
        return Address($"global {name}", out address);
    }
    public CudaResult FuncGetAttribute(out int value, FunctionAttribute attribute, nint function) =>
        Answer("function attribute", out value, 32);
    public CudaResult FuncSetAttribute(nint function, FunctionAttribute attribute, int value) =>
        Say($"set {attribute} {value}");
    public CudaResult OccupancyMaxActiveBlocksPerMultiprocessor(
        out int blocks, nint function, int blockThreads, nuint dynamicShared) => Answer("occupancy", out blocks, 2);

    public CudaResult MemAlloc(out ulong address, nuint bytes) => Address($"alloc {bytes}", out address);
    public CudaResult MemFree(ulong address) => Say("free");
    public CudaResult MemAllocAsync(out ulong address, nuint bytes, nint stream) =>
        Address($"alloc async {bytes}", out address);
    public CudaResult MemFreeAsync(ulong address, nint stream) => Say("free async");
    public CudaResult MemGetInfo(out nuint free, out nuint total)
    {
        total = (nuint)8 << 30;
        return Answer("info", out free, (nuint)1 << 30);
    }
    public CudaResult MemHostAlloc(out nint pointer, nuint bytes, uint flags)
    {
        pointer = (nint)System.Runtime.InteropServices.NativeMemory.Alloc(bytes);
        return Say("host alloc");
    }
    public CudaResult MemFreeHost(nint pointer)
    {
        System.Runtime.InteropServices.NativeMemory.Free((void*)pointer);
        return Say("host free");
    }
    public CudaResult MemcpyHtoDAsync(ulong destination, void* source, nuint bytes, nint stream) => Say($"up {bytes}");
    public CudaResult MemcpyDtoHAsync(void* destination, ulong source, nuint bytes, nint stream) =>
        Say($"down {bytes}");
    public CudaResult MemcpyDtoDAsync(ulong destination, ulong source, nuint bytes, nint stream) =>
        Say($"copy {bytes}");
    public CudaResult MemsetD8Async(ulong destination, byte value, nuint count, nint stream) => Say($"set8 {count}");
    public CudaResult MemsetD32Async(ulong destination, uint value, nuint count, nint stream) => Say($"set32 {count}");
    public CudaResult DeviceGetDefaultMemPool(out nint pool, int device) => Handle("pool", out pool);
    public CudaResult MemPoolSetAttribute(nint pool, MemPoolAttribute attribute, ulong value) =>
        Say($"pool {attribute} {value:x}");
    public CudaResult MemPoolGetAttribute(nint pool, MemPoolAttribute attribute, out ulong value) =>
        Answer("pool attribute", out value, 0UL);
    public CudaResult MemPoolTrimTo(nint pool, nuint keepBytes) => Say("trim");
    public CudaResult TensorMapEncodeTiled(
        out TensorMap map, in TensorMapSpec spec, ReadOnlySpan<ulong> dims, ReadOnlySpan<ulong> strides,
        ReadOnlySpan<uint> box, ReadOnlySpan<uint> elementStrides) => Answer("map", out map, default);

    public CudaResult StreamCreate(out nint stream, uint flags) => Handle("stream", out stream);
    public CudaResult StreamDestroy(nint stream) => Say("stream destroy");
    public CudaResult StreamSynchronize(nint stream) => Say("stream synchronize");
    public CudaResult StreamQuery(nint stream) => Say("stream query");
    public CudaResult StreamWaitEvent(nint stream, nint waitFor, uint flags) => Say("wait");
    public CudaResult EventCreate(out nint created, uint flags) => Handle("event", out created);
    public CudaResult EventDestroy(nint handle) => Say("event destroy");
    public CudaResult EventRecord(nint handle, nint stream) => Say("record");
    public CudaResult EventSynchronize(nint handle) => Say("event synchronize");
    public CudaResult EventQuery(nint handle) => Say("event query");
    public CudaResult EventElapsedTime(out float milliseconds, nint start, nint end) =>
        Answer("elapsed", out milliseconds, Elapsed);

    public CudaResult LaunchKernel(nint function, in LaunchShape shape, nint stream, void* packed, nuint packedBytes)
    {
        if (Recording)
        {
            Shape = shape;
            Packed = new ReadOnlySpan<byte>(packed, (int)packedBytes).ToArray();
        }
        return Say("launch");
    }

    public CudaResult StreamBeginCapture(nint stream, CaptureMode mode) => Say($"capture {mode}");
    public CudaResult StreamEndCapture(out nint graph, nint stream) => Handle("end capture", out graph);
    public CudaResult GraphInstantiate(out nint executable, nint graph) => Handle("instantiate", out executable);
    public CudaResult GraphExecUpdate(out GraphUpdateResult outcome, nint executable, nint graph) =>
        Answer("update", out outcome, GraphUpdateResult.Success);
    public CudaResult GraphLaunch(nint executable, nint stream) => Say("graph launch");
    public CudaResult GraphGetNodeCount(out nuint count, nint graph) => Answer("nodes", out count, (nuint)2);
    public CudaResult GraphDestroy(nint graph) => Say("graph destroy");
    public CudaResult GraphExecDestroy(nint executable) => Say("exec destroy");

    private CudaResult Say(string call)
    {
        if (Recording) Calls.Add(call);
        if (always.Count > 0 && always.TryGetValue(call.Split(' ')[0], out CudaResult constant)) return constant;
        return failures.Count > 0 && failures.Remove(call.Split(' ')[0], out CudaResult result)
            ? result
            : CudaResult.Success;
    }

    private CudaResult Answer<T>(string call, out T value, T answer)
    {
        value = answer;
        return Say(call);
    }

    private CudaResult Handle(string call, out nint handle) => Answer(call, out handle, ++next);

    private CudaResult Address(string call, out ulong address) => Answer(call, out address, (ulong)++next << 12);
}
