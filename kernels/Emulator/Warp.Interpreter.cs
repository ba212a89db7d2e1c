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

    /// <summary>Goes to <paramref name="i"/>'s target in the lanes of <see cref="Exec"/>.</summary>
    public void Branch(Instruction i)
    {
        uint taken = Exec, rest = Active & ~taken;
        if (rest == 0)
        {
            Pc = i.Target;
            return;
        }
        if (taken == 0) return;
        CurrentCounters.DivergentBranches++;
        int meet = i.Reconverge;
        if (meet != ReconvergeAt) _stack.Push((meet, ReconvergeAt, Active));
        ReconvergeAt = meet;
        bool takenWaits = i.Target == meet, restWaits = Pc == meet;
        if (takenWaits && restWaits)
        {
            Pc = meet;
            return;
        }
        if (takenWaits)
        {
            Active = rest;
        }
        else if (restWaits)
        {
            Pc = i.Target;
            Active = taken;
        }
        else if (Cluster.Random(2) == 0)
        {
            _stack.Push((Pc, meet, rest));
            Pc = i.Target;
            Active = taken;
        }
        else
        {
            _stack.Push((i.Target, meet, taken));
            Active = rest;
        }
    }

    /// <summary>
    /// Lets the other side of a divergence run when this one only polls, as independent thread scheduling would.
    /// </summary>
    public void SwapSides()
    {
        if (_stack.Count == 0) return;
        (int pc, int reconvergeAt, uint mask) = _stack.Peek();
        if (reconvergeAt != ReconvergeAt || pc == reconvergeAt || (mask & Alive) == 0) return;
        if ((mask & Active) != 0) return;
        _stack.Pop();
        _stack.Push((Pc, ReconvergeAt, Active));
        (Pc, Active) = (pc, mask & Alive);
    }

    /// <summary>Ends lanes; the warp goes on with what is left, or is done.</summary>
    public void EndLanes(uint lanes)
    {
        Alive &= ~lanes;
        Active &= ~lanes;
        while (Active == 0)
        {
            if (_stack.Count == 0)
            {
                State = WarpState.Done;
                Cluster.OnWarpDone(this);
                return;
            }
            Pop();
        }
    }

    private void Pop()
    {
        (Pc, ReconvergeAt, uint mask) = _stack.Pop();
        Active = mask & Alive;
        if (Active == 0 && _stack.Count == 0) EndLanes(0);
    }
}
