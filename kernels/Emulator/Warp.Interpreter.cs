using System.Numerics;
using System.Runtime.CompilerServices;

namespace CudaLora.Kernels.Emulator;

internal sealed unsafe partial class Warp
{
    /// <summary>Watches one warp, null for all others.</summary>
    public Trace? TraceHook { get; private set; }

    /// <summary>
    /// Runs up to <paramref name="quantum"/> instructions or until the warp waits or ends; returns how many.
    /// </summary>
    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    public int Run(int quantum)
    {
        Instruction[] code = _kernel.Code;
        Counters[] counters = _counters;
        bool checks = _checks;
        int done = 0;
        Yield = false;
        while (done < quantum)
        {
            if ((uint)Pc >= (uint)code.Length)
            {
                EndLanes(Active);
                if (State == WarpState.Done) break;
                continue;
            }
            Instruction i = code[Pc];
            uint exec = Active;
            if (i.Guard >= 0)
            {
                uint predicate = *(uint*)(Regs + i.Guard);
                exec &= i.GuardNegated ? ~predicate : predicate;
            }
            ref Counters c = ref counters[Pc];
            c.WarpInstructions++;
            c.LaneInstructions += BitOperations.PopCount(exec);
            Exec = exec;
            Current = i;
            Pc++;
            done++;
            if (checks) CheckRegisters(i, exec);
            if (exec != 0 || i.HandlesGuard) i.Run(this, i);
            if (TraceHook is not null) TraceHook.After(this, i);
            while (Pc == ReconvergeAt && _stack.Count > 0) Pop();
            if (Yield || State != WarpState.Ready) break;
        }
        return done;
    }

    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    private void CheckRegisters(Instruction i, uint exec)
    {
        if (i.GuardRegister >= 0 && (Active & ~_defined[i.GuardRegister]) != 0) Uninitialised(i.GuardRegister, Active);
        foreach (int r in i.Reads)
        {
            if ((exec & ~_defined[r]) != 0) Uninitialised(r, exec);
        }
        if (Wgmma is not null) Wgmma.Check(this, i);
        // Marked before the instruction runs: a fault ends the launch, so the order does not show.
        if (i.IsWgmma) return;
        foreach (int r in i.Writes) _defined[r] |= exec;
    }

    private void Uninitialised(int register, uint exec)
    {
        int lane = BitOperations.TrailingZeroCount(exec & ~_defined[register]);
        throw Fault(FaultKind.UninitialisedRead,
            $"register {_kernel.Source.Registers[register].Name} must be written before it is read", lane);
    }
}
