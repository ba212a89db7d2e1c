using System.Numerics;

namespace CudaLora.Kernels.Emulator;

/// <summary>Branches, lanes that end, and the stack of places where diverged lanes meet again.</summary>
internal sealed unsafe partial class Warp
{
    private readonly List<(int Pc, int ReconvergeAt, uint Mask)> _stack = [];

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
        if (meet != ReconvergeAt) Push(meet, ReconvergeAt, Active);
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
            Push(Pc, meet, rest);
            Pc = i.Target;
            Active = taken;
        }
        else
        {
            Push(i.Target, meet, taken);
            Active = rest;
        }
    }

    /// <summary>Goes to the target that each lane of <see cref="Exec"/> names; the others go on.</summary>
    public void BranchByIndex(Instruction i, uint* indices)
    {
        if (Exec == 0) return;
        int first = i.Targets[indices[BitOperations.TrailingZeroCount(Exec)]];
        uint together = LanesTo(i, indices, first, Exec);
        if (together == Active)
        {
            Pc = first;
            return;
        }
        CurrentCounters.DivergentBranches++;
        int meet = i.Reconverge, next = Pc;
        if (meet != ReconvergeAt) Push(meet, ReconvergeAt, Active);
        ReconvergeAt = meet;
        // Lanes that fall through or go to the meeting point wait there when it is next.
        (int Pc, uint Lanes) current = (meet, 0);
        uint falling = Active & ~Exec;
        if (falling != 0 && next != meet) current = (next, falling);
        for (uint left = Exec; left != 0; left &= ~together)
        {
            int target = i.Targets[indices[BitOperations.TrailingZeroCount(left)]];
            together = LanesTo(i, indices, target, left);
            if (target == meet) continue;
            if (current.Lanes == 0)
            {
                current = (target, together);
            }
            else if (Cluster.Random(2) == 0)
            {
                Push(target, meet, together);
            }
            else
            {
                Push(current.Pc, meet, current.Lanes);
                current = (target, together);
            }
        }
        Pc = current.Pc;
        if (current.Lanes != 0) Active = current.Lanes;
    }

    private static uint LanesTo(Instruction i, uint* indices, int target, uint lanes)
    {
        uint together = 0;
        for (uint m = lanes; m != 0; m &= m - 1)
        {
            int lane = BitOperations.TrailingZeroCount(m);
            if (i.Targets[indices[lane]] == target) together |= 1u << lane;
        }
        return together;
    }

    private void Push(int pc, int reconvergeAt, uint lanes) => _stack.Add((pc, reconvergeAt, lanes));

    /// <summary>
    /// Lets the other side of a divergence run when this one only polls, as independent thread scheduling would.
    /// </summary>
    public void SwapSides()
    {
        // The oldest of the other sides that still have to reach this meeting point; the stack may hold several.
        int oldest = -1;
        for (int k = _stack.Count - 1; k >= 0; k--)
        {
            (int pc, int reconvergeAt, uint mask) = _stack[k];
            if (reconvergeAt != ReconvergeAt || pc == reconvergeAt || (mask & Active) != 0) break;
            if ((mask & Alive) != 0) oldest = k;
        }
        if (oldest < 0) return;
        (int next, _, uint lanes) = _stack[oldest];
        _stack.RemoveAt(oldest);
        Push(Pc, ReconvergeAt, Active);
        (Pc, Active) = (next, lanes & Alive);
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
        (Pc, ReconvergeAt, uint mask) = _stack[^1];
        _stack.RemoveAt(_stack.Count - 1);
        Active = mask & Alive;
        if (Active == 0 && _stack.Count == 0) EndLanes(0);
    }
}
