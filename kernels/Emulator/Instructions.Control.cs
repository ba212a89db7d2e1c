using System.Numerics;
using CudaLora.Kernels.Ptx;

namespace CudaLora.Kernels.Emulator;

/// <summary>Branches, exits, named barriers, fences, hints.</summary>
internal static unsafe partial class Instructions
{
    private static void AddControl(Dictionary<string, Action<InstructionBuilder>> table)
    {
        table["bra"] = b =>
        {
            b.Take("uni");
            b.NeedOperands(1);
            b.Result.Target = b.Operand(0).Target;
            if (b.Result.Target < 0) throw b.Unsupported("expected a label");
            b.Result.Targets = [b.Result.Target];
            b.Result.HandlesGuard = true;
            b.Result.Run = &BranchTo;
        };
        table["brx"] = b =>
        {
            b.Need("idx");
            b.Take("uni");
            b.NeedOperands(2);
            b.Result.A = b.Source(0, PtxType.U32);
            if (b.Operand(1).Targets is not { } targets) throw b.Unsupported("expected a .branchtargets list");
            b.Result.Targets = [.. targets.Select(t => t.Target)];
            b.Result.HandlesGuard = true;
            b.Result.Run = &BranchByIndex;
        };
        table["exit"] = b => b.Result.Run = &Exit;
        table["ret"] = b =>
        {
            b.Take("uni");
            b.Result.Run = &Exit;
        };
        table["trap"] = b => b.Result.Run = &Trap;
        table["bar"] = DecodeBarrier;
        table["barrier"] = b =>
        {
            if (b.Take("cluster")) DecodeClusterBarrier(b);
            else DecodeBarrier(b);
        };
        table["membar"] = b =>
        {
            if (b.TakeOneOf("cta", "gl", "sys") < 0) throw b.Unsupported("expected .cta, .gl or .sys");
            b.Result.Run = &Fence;
        };
        table["fence"] = DecodeFence;
        table["nanosleep"] = b =>
        {
            b.Need("u32");
            b.NeedOperands(1);
            b.Source(0, PtxType.U32);
            b.Result.Run = &Sleep;
        };
        table["setmaxnreg"] = b =>
        {
            b.NeedTarget(90, architecture: true);
            if (b.TakeOneOf("inc", "dec") < 0) throw b.Unsupported("expected .inc or .dec");
            b.Need("sync");
            b.Need("aligned");
            b.Need("u32");
            if (b.Constant(0, 24, 256) % 8 != 0) throw b.Unsupported("the register count must be a multiple of 8");
            b.Result.Run = &Aligned;
            b.Result.HandlesGuard = true;
        };
        table["griddepcontrol"] = b =>
        {
            b.NeedTarget(90);
            if (b.TakeOneOf("wait", "launch_dependents") < 0)
                throw b.Unsupported("expected .wait or .launch_dependents");
            b.Result.Run = &Nothing;
        };
        table["pmevent"] = b =>
        {
            b.NeedOperands(1);
            b.Result.Run = &Nothing;
        };
    }

    private static void Nothing(Warp w, Instruction i)
    {
    }

    /// <summary>
    /// For .aligned instructions without other effect: the warp must run them together, or not at all.
    /// </summary>
    private static void Aligned(Warp w, Instruction i)
    {
        if (w.Exec != 0) w.RequireConverged();
    }

    private static void BranchTo(Warp w, Instruction i) => w.Branch(i);

    private static void BranchByIndex(Warp w, Instruction i)
    {
        uint* indices = (uint*)(w.Regs + i.A);
        for (uint m = w.Exec; m != 0; m &= m - 1)
        {
            int lane = BitOperations.TrailingZeroCount(m);
            if (indices[lane] >= (uint)i.Targets.Length)
                throw w.Fault(FaultKind.InvalidOperand,
                    $"the index must be below the {i.Targets.Length} branch targets, but got {indices[lane]}", lane);
        }
        w.BranchByIndex(i, indices);
    }

    private static void Exit(Warp w, Instruction i) => w.EndLanes(w.Exec);

    private static void Trap(Warp w, Instruction i) => throw w.Fault(FaultKind.Trap, "the kernel executed trap");

    private static void Sleep(Warp w, Instruction i) => w.Yield = true;

    private static void DecodeBarrier(InstructionBuilder b)
    {
        Instruction i = b.Result;
        if (b.Opcode == "bar" && b.Take("warp"))
        {
            b.Need("sync");
            b.NeedOperands(1);
            i.A = b.Source(0, PtxType.B32);
            i.Run = &WarpSync;
            return;
        }
        b.Take("cta");
        int form = b.TakeOneOf("sync", "arrive", "red");
        if (form < 0) throw b.Unsupported("expected .sync, .arrive or .red");
        b.Take("aligned");
        int at = 0;
        if (form == 2)
        {
            int reduction = b.TakeOneOf("popc", "and", "or");
            if (reduction < 0) throw b.Unsupported("expected .popc, .and or .or");
            i.Mode2 = reduction + 1;
            PtxType type = b.TakeType();
            b.NeedOperands(3, 4);
            i.D = b.Destination(0, reduction == 0 ? PtxType.U32 : PtxType.Pred);
            if (type != (reduction == 0 ? PtxType.U32 : PtxType.Pred))
                throw b.Unsupported("expected .popc.u32, .and.pred or .or.pred");
            i.C = b.Predicate(b.Operand(b.OperandCount - 1), out i.Negate);
            at = 1;
        }
        int last = form == 2 ? b.OperandCount - 1 : b.OperandCount;
        if (last - at is < 1 or > 2) throw b.Unsupported("expected a barrier number and perhaps a thread count");
        i.A = b.Source(at, PtxType.U32);
        i.B = last - at == 2 ? b.Source(at + 1, PtxType.U32) : -1;
        if (form == 1 && i.B == -1) throw b.Unsupported("arrive needs a thread count");
        i.Mode = form;
        i.Run = &Barrier;
    }

    private static void Barrier(Warp w, Instruction i)
    {
        w.RequireConverged();
        uint number = w.Uniform32(i.A, "the barrier number");
        if (number > 15) throw w.Fault(FaultKind.InvalidOperand, $"the barrier number must be 0..15, but got {number}");
        int threads = i.B < 0 ? 0 : (int)w.Uniform32(i.B, "the thread count");
        if (i.B >= 0 && threads == 0)
            throw w.Fault(FaultKind.InvalidOperand, "the thread count must be above 0, but got 0");
        int trueLanes = 0;
        if (i.Mode == 2)
        {
            uint predicate = *(uint*)(w.Regs + i.C);
            if (i.Negate) predicate = ~predicate;
            trueLanes = BitOperations.PopCount(predicate & w.Exec);
        }
        w.Block.Barriers[number].Arrive(w, threads, wait: i.Mode != 1, trueLanes);
    }

    private static void WarpSync(Warp w, Instruction i)
    {
        uint* masks = (uint*)(w.Regs + i.A);
        CheckMembers(w, masks);
        w.Cluster.Order?.Tick(w.Global);
    }

    private static void DecodeFence(InstructionBuilder b)
    {
        if (b.Take("proxy"))
        {
            if (b.TakeOneOf("async", "async.shared::cta") < 0 && !b.Take("alias"))
            {
                b.Need("tensormap::generic");
                b.TakeOneOf("acquire", "release");
                b.TakeOneOf("cta", "cluster", "gpu", "sys");
                b.Result.Run = &Nothing;
                return;
            }
            b.TakeOneOf("shared::cta", "shared::cluster", "global");
            b.Result.Run = &ProxyFence;
            return;
        }
        if (b.Take("mbarrier_init"))
        {
            b.NeedTarget(90);
            b.Need("release");
            b.Need("cluster");
            b.Result.Run = &BarrierInitFence;
            return;
        }
        b.TakeOneOf("sc", "acq_rel");
        if (b.TakeOneOf("cta", "cluster", "gpu", "sys") < 0) throw b.Unsupported("expected a scope");
        b.Result.Run = &Fence;
    }

    private static void Fence(Warp w, Instruction i) => w.Cluster.Synchronise(w);

    private static void ProxyFence(Warp w, Instruction i)
    {
        w.Cluster.Order?.ProxyFence(w.Global);
        BarrierInitFence(w, i);
    }

    private static void BarrierInitFence(Warp w, Instruction i)
    {
        foreach (MBarrier barrier in w.Block.MBarriers.Values)
        {
            if (barrier.Initialiser == w) barrier.Initialiser = null;
        }
    }
}
