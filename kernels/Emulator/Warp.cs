using System.Numerics;
using System.Runtime.InteropServices;
using System.Runtime.Intrinsics;

namespace CudaLora.Kernels.Emulator;

internal enum WarpState
{
    Ready, Blocked, Polling, Done,
}

/// <summary>
/// One warp: its register file as rows of 32 lanes, the lanes that run, and the stack of places where diverged lanes
/// meet again.
/// </summary>
internal sealed unsafe partial class Warp : IDisposable
{
    private readonly EmulatedKernel _kernel;
    private readonly Counters[] _counters;
    private readonly bool _checks;
    private readonly uint* _defined;

    public Warp(Cluster cluster, Block block, int index, int global, Counters[] counters)
    {
        (Cluster, Block, Index, Global, _counters) = (cluster, block, index, global, counters);
        _kernel = cluster.Launch.Kernel;
        _checks = cluster.Launch.Options.Checks;
        Regs = (byte*)NativeMemory.AlignedAlloc((nuint)_kernel.FileBytes + 64, 64);
        _defined = (uint*)NativeMemory.AllocZeroed((nuint)_kernel.RegisterCount + 1, 4);
        Addresses = (ulong*)NativeMemory.AlignedAlloc(32 * 8, 64);
        Pointers = (byte**)NativeMemory.AlignedAlloc(32 * 8, 64);
        Local = _kernel.LocalBytes > 0 ? (byte*)NativeMemory.Alloc((nuint)_kernel.LocalBytes * 32) : null;
        LocalWritten = Local != null && _checks ? (byte*)NativeMemory.Alloc((nuint)_kernel.LocalBytes * 32) : null;
        _kernel.Constants.CopyTo(new Span<byte>(Regs + _kernel.ConstantsAt, _kernel.Constants.Length));
        if (cluster.Races is not null)
            (_records, _recordClocks) = (new uint[_kernel.Code.Length], new uint[_kernel.Code.Length]);
        Wgmma = _kernel.UsesWgmma ? new WgmmaState(_kernel.RegisterCount) : null;
    }

    public Cluster Cluster { get; }

    public Block Block { get; }

    /// <summary>Index in the block.</summary>
    public int Index { get; }

    /// <summary>Index in the cluster.</summary>
    public int Global { get; }

    /// <summary>The register file.</summary>
    public byte* Regs { get; }

    /// <summary>Scratch: one address per lane.</summary>
    public ulong* Addresses { get; }

    /// <summary>Scratch: one host pointer per lane.</summary>
    public byte** Pointers { get; }

    public byte* Local { get; }

    public byte* LocalWritten { get; }

    public WgmmaState? Wgmma { get; }

    /// <summary>Index of the next instruction.</summary>
    public int Pc { get; set; }

    /// <summary>Lanes on the current path.</summary>
    public uint Active { get; private set; }

    /// <summary>Lanes that have not ended.</summary>
    public uint Alive { get; private set; }

    /// <summary>Lanes in the block: fewer than 32 only in its last warp.</summary>
    public uint Members { get; private set; }

    /// <summary>Lanes that run the current instruction.</summary>
    public uint Exec { get; private set; }

    public int ReconvergeAt { get; private set; }

    public WarpState State { get; set; }

    /// <summary>Ends the warp's turn after the current instruction.</summary>
    public bool Yield { get; set; }

    /// <summary>Polls in a row that found nothing new, and the cluster's progress at the last one.</summary>
    public int FruitlessPolls { get; set; }

    public long PolledAt { get; set; } = -1;

    public MBarrier? PolledBarrier { get; set; }

    public Instruction Current { get; private set; } = null!;

    public ref Counters CurrentCounters => ref _counters[Current.Index];

    public bool Checks => _checks;

    /// <summary>Makes the warp ready to run a new block.</summary>
    public void Start()
    {
        int lanes = Math.Min(32, Cluster.Launch.Threads - (Index * 32));
        Members = Alive = Active = lanes == 32 ? uint.MaxValue : (1u << lanes) - 1;
        Pc = 0;
        ReconvergeAt = _kernel.Code.Length;
        _stack.Clear();
        (State, Yield, FruitlessPolls, PolledAt) = (WarpState.Ready, false, 0, -1);
        NativeMemory.Fill(Regs, (nuint)_kernel.RegisterBytes, 0xFF);
        NativeMemory.Clear(_defined, (nuint)_kernel.RegisterCount * 4);
        if (Local != null) NativeMemory.Fill(Local, (nuint)_kernel.LocalBytes * 32, 0xFF);
        if (LocalWritten != null) NativeMemory.Clear(LocalWritten, (nuint)_kernel.LocalBytes * 32);
        SpecialRegisters.Fill(this, _kernel);
        ResetAsync();
        Wgmma?.Reset(Cluster.Order?.Base ?? 1);
        TraceHook = Cluster.Launch.Trace is { } trace && trace.Matches(this) ? trace : null;
    }

    public void Dispose()
    {
        NativeMemory.AlignedFree(Regs);
        NativeMemory.Free(_defined);
        NativeMemory.AlignedFree(Addresses);
        NativeMemory.AlignedFree(Pointers);
        NativeMemory.Free(Local);
        NativeMemory.Free(LocalWritten);
    }

    /// <summary>The eight lane masks (all ones or zero) of vector <paramref name="k"/> of a 32-bit row.</summary>
    public static Vector256<uint> Mask32(uint exec, int k)
    {
        Vector256<uint> bits = Vector256.Create(1u, 2, 4, 8, 16, 32, 64, 128);
        return Vector256.Equals(Vector256.Create(exec >> (8 * k)) & bits, bits);
    }

    /// <summary>The four lane masks of vector <paramref name="k"/> of a 64-bit row.</summary>
    public static Vector256<ulong> Mask64(uint exec, int k)
    {
        Vector256<ulong> bits = Vector256.Create(1ul, 2, 4, 8);
        return Vector256.Equals(Vector256.Create((ulong)(exec >> (4 * k))) & bits, bits);
    }

    /// <summary>A special value of one operand that must be the same in all lanes that run; its value.</summary>
    public uint Uniform32(int row, string what)
    {
        uint* values = (uint*)(Regs + row);
        uint value = values[BitOperations.TrailingZeroCount(Exec)];
        for (uint m = Exec; m != 0; m &= m - 1)
        {
            int lane = BitOperations.TrailingZeroCount(m);
            if (values[lane] != value)
                throw Fault(FaultKind.InvalidOperand,
                    $"{what} must be the same in all lanes, but got {value} and {values[lane]}", lane);
        }
        return value;
    }

    /// <summary>A 64-bit operand that must be the same in all lanes that run; its value.</summary>
    public ulong Uniform64(int row, string what)
    {
        ulong* values = (ulong*)(Regs + row);
        ulong value = values[BitOperations.TrailingZeroCount(Exec)];
        for (uint m = Exec; m != 0; m &= m - 1)
        {
            int lane = BitOperations.TrailingZeroCount(m);
            if (values[lane] != value)
                throw Fault(FaultKind.InvalidOperand,
                    $"{what} must be the same in all lanes, but got 0x{value:X} and 0x{values[lane]:X}", lane);
        }
        return value;
    }

    public string RegisterName(int register) => _kernel.Source.Registers[register].Name;

    /// <summary>Reports the first of <paramref name="registers"/> that is not written in all lanes that run.</summary>
    public void RequireWritten(int count, int[] registers)
    {
        if (!_checks) return;
        for (int k = 0; k < count; k++)
        {
            if ((Exec & ~_defined[registers[k]]) != 0) Uninitialised(registers[k], Exec);
        }
    }

    /// <summary>Makes registers unwritten again in the lanes that run.</summary>
    public void Forget(int[] registers)
    {
        foreach (int r in registers) _defined[r] &= ~Exec;
    }

    public void MarkWritten(int[] registers)
    {
        foreach (int r in registers) _defined[r] |= Exec;
    }

    /// <summary>Throws unless every lane of the warp runs the current instruction.</summary>
    public void RequireConverged()
    {
        if (Exec == Members) return;
        string why = Alive != Members ? "lanes have exited" : "lanes are on another path or guarded off";
        throw Fault(FaultKind.DivergentBarrier,
            $"all lanes of the warp must run this together, but got mask 0x{Exec:X8} of 0x{Members:X8} ({why})");
    }

    public FaultSignal Fault(FaultKind kind, string message, int lane = -1, int other = -1) => new(new EmulatorFault(
        kind, message, _kernel.Name, _kernel.Source.Module.FileName, Current.Line, Current.Source.FullName,
        Block.GridIndex.ToDim3(), Index, lane, other >= 0 ? _kernel.Code[other].Line : 0));
}
