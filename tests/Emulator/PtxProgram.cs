using System.Runtime.InteropServices;
using CudaLora.Kernels.Driver;
using CudaLora.Kernels.Emulator;
using CudaLora.Kernels.Ptx;
using CudaLora.Kernels.Runtime;

namespace CudaLora.Tests;

/// <summary>
/// A PTX text with its inputs, launch shape and outputs. It says nothing of the emulator until it is run, so the same
/// program can run on a device.
/// </summary>
internal sealed class PtxProgram
{
    private readonly List<PtxArgument> _arguments = [];

    public PtxProgram(string text, string entry = "k")
    {
        Text = text;
        Entry = entry;
        PtxasGate.Check(text);
    }

    public string Text { get; }

    public string Entry { get; }

    public Dim3 Grid { get; init; } = 1;

    public Dim3 Block { get; init; } = 32;

    public Dim3? Cluster { get; init; }

    public int DynamicShared { get; init; }

    /// <summary>Adds a buffer with contents; its index in <see cref="PtxResult.Read"/> counts all arguments.</summary>
    public PtxProgram Input<T>(params ReadOnlySpan<T> values)
        where T : unmanaged
    {
        _arguments.Add(new PtxArgument(MemoryMarshal.AsBytes(values).ToArray(), IsBuffer: true));
        return this;
    }

    /// <summary>
    /// Adds a tensor map of a tensor with contents; reading the argument gives the tensor. Innermost first, strides in
    /// bytes.
    /// </summary>
    public PtxProgram Map<T>(ReadOnlySpan<T> values, TensorMapType type, TensorMapSwizzle swizzle, ulong[] dims,
        ulong[] strides, uint[] box)
        where T : unmanaged
    {
        _arguments.Add(new PtxArgument(MemoryMarshal.AsBytes(values).ToArray(), IsBuffer: true)
        {
            Map = new PtxTensor(type, swizzle, dims, strides, box),
        });
        return this;
    }

    /// <summary>Adds a buffer that starts unwritten.</summary>
    public PtxProgram Output<T>(int count)
        where T : unmanaged
    {
        _arguments.Add(new PtxArgument(new byte[count * Marshal.SizeOf<T>()], IsBuffer: true) { Written = false });
        return this;
    }

    /// <summary>Adds a scalar argument.</summary>
    public PtxProgram Scalar<T>(T value)
        where T : unmanaged
    {
        _arguments.Add(new PtxArgument(MemoryMarshal.AsBytes(new ReadOnlySpan<T>(in value)).ToArray(),
            IsBuffer: false));
        return this;
    }

    /// <summary>Runs on an emulator of its own.</summary>
    public PtxResult Run(EmulatorOptions? options = null, Trace? trace = null)
    {
        using var emulator = new Emulator(options ?? new EmulatorOptions());
        using EmulatedModule module = emulator.Load(Text, "test.ptx");
        ulong[] addresses = new ulong[_arguments.Count];
        for (int i = 0; i < addresses.Length; i++)
        {
            if (!_arguments[i].IsBuffer) continue;
            addresses[i] = emulator.Allocate(_arguments[i].Bytes.Length);
            if (_arguments[i].Written) emulator.Write(addresses[i], _arguments[i].Bytes);
        }
        byte[] packed = Pack(module.Source.FindEntry(Entry)!, addresses, (spec, tensor) =>
            (EmulatedTensorMap.Encode(out TensorMap map, spec, tensor.Dims, tensor.Strides, tensor.Box, tensor.Steps),
            map));
        LaunchReport report = emulator.Launch(module, Entry, Grid, Block, DynamicShared, packed, Cluster, trace);
        var buffers = new byte[addresses.Length][];
        for (int i = 0; i < buffers.Length; i++)
        {
            buffers[i] = new byte[_arguments[i].Bytes.Length];
            if (_arguments[i].IsBuffer) emulator.Read(addresses[i], buffers[i]);
        }
        return new PtxResult(report, buffers);
    }

    /// <summary>Runs on a device of any driver, unwritten buffers zero; gives the buffers.</summary>
    /// <exception cref="CudaException">The driver refused or the kernel failed.</exception>
    public unsafe byte[][] Run(CudaContext context)
    {
        using CudaModule module = CudaModule.Load(context, Text, "test.ptx");
        CudaFunction function = module.Function(Entry);
        if (DynamicShared > 48 * 1024)
            context.Check(context.Driver.FuncSetAttribute(function.Handle, FunctionAttribute.MaxDynamicSharedBytes,
                DynamicShared), "cuFuncSetAttribute", Entry);
        var memory = new DeviceBuffer<byte>?[_arguments.Count];
        try
        {
            for (int i = 0; i < memory.Length; i++)
            {
                if (!_arguments[i].IsBuffer) continue;
                memory[i] = context.Memory.Allocate<byte>(_arguments[i].Bytes.Length);
                memory[i]!.Upload(_arguments[i].Bytes);
            }
            ulong[] addresses = [.. memory.Select(m => m?.Pointer.Address ?? 0)];
            byte[] packed = Pack(PtxModule.Parse(Text, "test.ptx").FindEntry(Entry)!, addresses, (spec, tensor) =>
                (context.Driver.TensorMapEncodeTiled(out TensorMap map, spec, tensor.Dims, tensor.Strides, tensor.Box,
                tensor.Steps), map));
            var shape = new LaunchShape(Grid, Block, (uint)DynamicShared, Cluster ?? default);
            fixed (byte* block = packed)
            {
                context.Check(context.Driver.LaunchKernel(function.Handle, shape, context.Stream.Handle, block,
                    (nuint)packed.Length), "cuLaunchKernel", Entry);
            }
            context.Synchronize();
            return [.. memory.Select(m => m?.ToArray() ?? [])];
        }
        finally
        {
            foreach (DeviceBuffer<byte>? buffer in memory) buffer?.Dispose();
        }
    }

    private byte[] Pack(PtxEntry entry, ulong[] addresses,
        Func<TensorMapSpec, PtxTensor, (CudaResult Result, TensorMap Map)> encode)
    {
        byte[] packed = new byte[entry.ParameterBytes];
        for (int i = 0; i < _arguments.Count; i++)
        {
            Span<byte> to = packed.AsSpan(entry.Parameters[i].Offset);
            if (_arguments[i].Map is { } tensor)
            {
                (CudaResult result, TensorMap map) = encode(
                    new TensorMapSpec(tensor.Type, addresses[i], tensor.Swizzle, TensorMapPromotion.None), tensor);
                Assert.Equal(CudaResult.Success, result);
                MemoryMarshal.Write(to, map);
            }
            else if (_arguments[i].IsBuffer)
            {
                MemoryMarshal.Write(to, addresses[i]);
            }
            else
            {
                _arguments[i].Bytes.CopyTo(to);
            }
        }
        return packed;
    }

    /// <summary>Runs with every completion schedule; all must succeed.</summary>
    public void RunAllStates()
    {
        foreach (AsyncSchedule schedule in Enum.GetValues<AsyncSchedule>())
        {
            for (ulong seed = 1; seed <= 3; seed++)
                Run(new EmulatorOptions { Schedule = schedule, Seed = seed }).Succeeded();
        }
    }

    /// <summary>
    /// Runs with every completion schedule and several seeds, and on the device of <see cref="HardwareComparison"/>;
    /// all must succeed with the same outputs.
    /// </summary>
    public PtxResult RunAll()
    {
        PtxResult first = Run(new EmulatorOptions { Checks = false, Schedule = AsyncSchedule.Eager }).Succeeded();
        foreach (AsyncSchedule schedule in Enum.GetValues<AsyncSchedule>())
        {
            for (ulong seed = 1; seed <= 3; seed++)
            {
                PtxResult other = Run(new EmulatorOptions { Schedule = schedule, Seed = seed }).Succeeded();
                for (int i = 0; i < _arguments.Count; i++)
                {
                    if (_arguments[i].IsBuffer) Assert.Equal(first.Bytes[i], other.Bytes[i]);
                }
            }
        }
        HardwareComparison.Check(this);
        return first;
    }
}

/// <summary>One argument: a buffer (perhaps behind a tensor map) or a scalar.</summary>
internal sealed record PtxArgument(byte[] Bytes, bool IsBuffer)
{
    public bool Written { get; init; } = true;

    public PtxTensor? Map { get; init; }
}

/// <summary>What a tensor map says of its buffer.</summary>
internal sealed record PtxTensor(TensorMapType Type, TensorMapSwizzle Swizzle, ulong[] Dims, ulong[] Strides,
    uint[] Box)
{
    public uint[] Steps { get; } = [.. Dims.Select(_ => 1u)];
}

/// <summary>What a run left: the report and every buffer.</summary>
internal sealed record PtxResult(LaunchReport Report, byte[][] Bytes)
{
    public T[] Read<T>(int argument)
        where T : unmanaged => MemoryMarshal.Cast<byte, T>(Bytes[argument]).ToArray();

    public PtxResult Succeeded()
    {
        Assert.True(Report.Fault is null, Report.Fault?.ToString());
        return this;
    }

    public EmulatorFault Faulted(FaultKind kind)
    {
        Assert.NotNull(Report.Fault);
        Assert.True(kind == Report.Fault.Kind, $"expected {kind}, but got {Report.Fault}");
        return Report.Fault;
    }
}
