using System.Numerics;
using CudaLora.Kernels.Ptx;

namespace CudaLora.Kernels.Emulator;

/// <summary>
/// cp.async: copies of 4, 8 or 16 bytes a lane from global to shared memory, in groups that each lane commits and
/// waits for on its own.
/// </summary>
internal static unsafe partial class Instructions
{
    private static void AddAsync(Dictionary<string, Action<InstructionBuilder>> table) => table["cp"] = b =>
    {
        bool reduce = b.Take("reduce");
        b.Need("async");
        if (reduce)
        {
            DecodeBulkReduction(b);
            return;
        }
        if (b.Take("bulk")) DecodeBulk(b);
        else if (b.Take("commit_group")) DecodeCommit(b);
        else if (b.Take("wait_group")) DecodeWaitCopies(b, all: false);
        else if (b.Take("wait_all")) DecodeWaitCopies(b, all: true);
        else if (b.Take("mbarrier")) DecodeCopyArrive(b);
        else DecodeCopy(b);
    };

    private static void DecodeCopy(InstructionBuilder b)
    {
        b.NeedTarget(80);
        Instruction i = b.Result;
        bool global = b.Take("cg");
        if (!global) b.Need("ca");
        if (b.TakeOneOf("shared", "shared::cta") < 0) throw b.Unsupported("expected .shared.global");
        b.Need("global");
        bool policy = b.Take("L2::cache_hint");
        while (b.TakePrefix("L2::") is not null)
        {
        }
        b.NeedOperands(3 + (policy ? 1 : 0), 4 + (policy ? 1 : 0));
        (i.A, i.Offset, i.WideAddress) = b.AddressRow(0, Space.Shared);
        (i.B, long offset, _) = b.AddressRow(1, Space.Global);
        i.Immediate = (ulong)offset;
        i.Size = (int)b.Constant(2, 4, 16);
        if (i.Size is not (4 or 8 or 16) || (global && i.Size != 16))
            throw b.Unsupported("the size must be 4, 8 or 16, and 16 for .cg");
        bool more = b.OperandCount > 3 + (policy ? 1 : 0);
        // Either the bytes to read of the source, or whether to read none.
        bool ignore = more && b.Operand(3).Register is { Type: PtxType.Pred };
        i.Mode = ignore ? 1 : 0;
        i.C = !more ? -1 : ignore ? b.Predicate(b.Operand(3), out i.Negate) : b.Source(3, PtxType.U32);
        if (policy) b.Source(b.OperandCount - 1, PtxType.B64);
        b.TouchesShared(i.Size);
        i.Run = &CopyAsync;
    }

    private static void CopyAsync(Warp w, Instruction i)
    {
        byte** sources = stackalloc byte*[32];
        int* sizes = stackalloc int[32];
        for (uint m = w.Exec; m != 0; m &= m - 1)
        {
            int lane = BitOperations.TrailingZeroCount(m);
            int size = i.C < 0 ? i.Size
                : i.Mode == 1 ? ((*(uint*)(w.Regs + i.C) >> lane & 1) != 0 != i.Negate ? 0 : i.Size)
                : (int)((uint*)(w.Regs + i.C))[lane];
            if (size < 0 || size > i.Size)
                throw w.Fault(FaultKind.InvalidOperand, $"src-size must be 0..{i.Size}, but got {size}", lane);
            ulong from = i.Immediate + (i.B < 0 ? 0 : ((ulong*)(w.Regs + i.B))[lane]);
            if ((from & (ulong)(i.Size - 1)) != 0) throw w.Misaligned("global", from, i.Size, lane);
            sources[lane] = size == 0 ? null : w.GlobalPointer(from, size, Access.Read, lane);
            if (size > 0 && w.Cluster.Races is { } races) w.WatchCopy(races, from, size, Access.Read, lane);
            sizes[lane] = size;
            w.Addresses[lane] = from;
        }
        w.CountGlobalRead(w.Exec, i.Size);
        w.StartCopy(i, sources, sizes);
    }

    private static void DecodeCommit(InstructionBuilder b)
    {
        b.NeedOperands(0);
        b.Result.Run = &CommitCopies;
    }

    private static void CommitCopies(Warp w, Instruction i) => w.CommitCopies();

    private static void DecodeWaitCopies(InstructionBuilder b, bool all)
    {
        b.NeedOperands(all ? 0 : 1);
        b.Result.Mode = all ? -1 : (int)b.Constant(0, 0, 1 << 20);
        b.Result.Run = &WaitCopies;
    }

    private static void WaitCopies(Warp w, Instruction i)
    {
        if (i.Mode < 0) w.CommitCopies();
        w.WaitCopies(Math.Max(i.Mode, 0));
    }

    private static void DecodeCopyArrive(InstructionBuilder b)
    {
        b.Need("arrive");
        b.Result.Mode = b.Take("noinc") ? 1 : 0;
        b.Result.Space = TakeSpace(b);
        b.Need("b64");
        b.NeedOperands(1);
        b.Address(0, b.Result.Space);
        b.Result.Run = &CopyArrive;
    }

    private static void CopyArrive(Warp w, Instruction i)
    {
        CopyArrival arrival = w.Cluster.Arrivals.Rent();
        arrival.Start(w);
        for (uint m = w.Exec; m != 0; m &= m - 1)
        {
            int lane = BitOperations.TrailingZeroCount(m);
            MBarrier barrier = BarrierAt(w, i.A, i.Offset, i.WideAddress, i.Space, lane);
            if (i.Mode == 0) barrier.ExpectArrival();
            arrival.Add(lane, barrier);
            w.TieCopies(lane, barrier);
        }
        w.AddCopiesTo(arrival);
        w.Cluster.Enqueue(arrival);
    }
}
