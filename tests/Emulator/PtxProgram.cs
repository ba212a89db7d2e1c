using System.Runtime.InteropServices;
using CudaLora.Kernels.Driver;
using CudaLora.Kernels.Emulator;

namespace CudaLora.Tests;

/// <summary>
/// A PTX text with its inputs, launch shape and outputs. It says nothing of the emulator until it is run, so the same
/// program can run on a device.
/// </summary>
internal sealed class PtxProgram
{
    private readonly List<(byte[] Bytes, bool Written, bool Buffer)> _arguments = [];

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
        _arguments.Add((MemoryMarshal.AsBytes(values).ToArray(), true, true));
        return this;
    }

    /// <summary>Adds a buffer that starts unwritten.</summary>
    public PtxProgram Output<T>(int count)
        where T : unmanaged
    {
        _arguments.Add((new byte[count * Marshal.SizeOf<T>()], false, true));
        return this;
    }

    /// <summary>Adds a scalar argument.</summary>
    public PtxProgram Scalar<T>(T value)
        where T : unmanaged
    {
        _arguments.Add((MemoryMarshal.AsBytes(new ReadOnlySpan<T>(in value)).ToArray(), true, false));
        return this;
    }

    /// <summary>Runs on an emulator of its own.</summary>
    public PtxResult Run(EmulatorOptions? options = null, Trace? trace = null)
    {
        using var emulator = new Emulator(options ?? new EmulatorOptions());
        using EmulatedModule module = emulator.Load(Text, "test.ptx");
        var addresses = new List<ulong>();
        byte[] packed = new byte[module.Source.FindEntry(Entry)!.ParameterBytes];
        for (int i = 0; i < _arguments.Count; i++)
        {
            (byte[] bytes, bool written, bool buffer) = _arguments[i];
            ulong address = 0;
            if (buffer)
            {
                address = emulator.Allocate(bytes.Length);
                if (written) emulator.Write(address, bytes);
            }
            addresses.Add(address);
            ReadOnlySpan<byte> value = buffer ? BitConverter.GetBytes(address) : bytes;
            value.CopyTo(packed.AsSpan(module.Source.FindEntry(Entry)!.Parameters[i].Offset));
        }
        LaunchReport report = emulator.Launch(module, Entry, Grid, Block, DynamicShared, packed, Cluster, trace);
        var buffers = new byte[_arguments.Count][];
        for (int i = 0; i < buffers.Length; i++)
        {
            buffers[i] = new byte[_arguments[i].Bytes.Length];
            if (_arguments[i].Buffer) emulator.Read(addresses[i], buffers[i]);
        }
        return new PtxResult(report, buffers);
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
    /// Runs with every completion schedule and several seeds; all must succeed with the same outputs.
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
                    if (_arguments[i].Buffer) Assert.Equal(first.Bytes[i], other.Bytes[i]);
                }
            }
        }
        return first;
    }
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
