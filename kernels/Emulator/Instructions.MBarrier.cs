using System.Numerics;
using CudaLora.Kernels.Ptx;

namespace CudaLora.Kernels.Emulator;

/// <summary>mbarrier: init, arrive, expect_tx, test_wait, try_wait.</summary>
internal static unsafe partial class Instructions
{
    private const int MaxArrivals = (1 << 20) - 1;

    private static void AddMBarrier(Dictionary<string, Action<InstructionBuilder>> table) => table["mbarrier"] = b =>
    {
        b.NeedTarget(80);
        if (b.Take("init")) DecodeBarrierInit(b);
        else if (b.Take("inval")) DecodeBarrierInvalidate(b);
        else if (b.Take("arrive")) DecodeBarrierArrive(b, drop: false);
        else if (b.Take("arrive_drop")) DecodeBarrierArrive(b, drop: true);
        else if (b.Take("pending_count")) DecodePendingCount(b);
        else if (b.Take("complete_tx")) DecodeBarrierExpect(b, complete: true);
        else if (b.Take("test_wait")) DecodeBarrierWait(b, tryWait: false);
        else if (b.Take("try_wait")) DecodeBarrierWait(b, tryWait: true);
        else if (b.Take("expect_tx")) DecodeBarrierExpect(b, complete: false);
        else throw b.Unsupported("unsupported mbarrier operation");
    };

    private static void TakeBarrierScope(InstructionBuilder b)
    {
        b.Result.Negate = b.TakeOneOf("release", "acquire", "relaxed") == 2;
        b.TakeOneOf("cta", "cluster");
        b.Result.Space = TakeSpace(b);
        b.Need("b64");
    }

    /// <summary>Shared address, block and barrier that a lane names.</summary>
    private static (Block Block, uint Address) BarrierPlace(Warp w, int row, long offset, bool wide, Space space,
        int lane)
    {
        ulong address = (ulong)offset;
        if (row >= 0) address += wide ? ((ulong*)(w.Regs + row))[lane] : ((uint*)(w.Regs + row))[lane];
        if (space == Space.Generic)
        {
            if (!Windows.IsShared(address))
                throw w.Fault(FaultKind.OutOfBounds, $"an mbarrier lives in shared memory, but got 0x{address:X}",
                lane);
            address -= Windows.Shared;
        }
        address = (uint)address;
        Block block = space == Space.Shared ? w.Block : w.Owner(ref address, lane);
        if ((address & 7) != 0) throw w.Misaligned("mbarrier", address, 8, lane);
        if (address < Block.SharedBase || address + 8 > Block.SharedBase + (ulong)block.SharedBytes)
            throw w.OutOfBounds("shared", address, 8, lane, null, block);
        return (block, (uint)address);
    }

    private static MBarrier BarrierAt(Warp w, int row, long offset, bool wide, Space space, int lane)
    {
        (Block block, uint address) = BarrierPlace(w, row, offset, wide, space, lane);
        if (!block.MBarriers.TryGetValue(address, out MBarrier? barrier))
            throw w.Fault(FaultKind.MbarrierMisuse, $"the mbarrier at 0x{address:X} must be initialised first", lane);
        barrier.CheckSeen(w, lane);
        return barrier;
    }

    private static void DecodeBarrierInit(InstructionBuilder b)
    {
        TakeBarrierScope(b);
        b.NeedOperands(2);
        b.Address(0, b.Result.Space);
        b.Result.B = b.Source(1, PtxType.U32);
        b.Result.Run = &BarrierInit;
    }

    private static void BarrierInit(Warp w, Instruction i)
    {
        for (uint m = w.Exec; m != 0; m &= m - 1)
        {
            int lane = BitOperations.TrailingZeroCount(m);
            (Block block, uint address) = BarrierPlace(w, i.A, i.Offset, i.WideAddress, i.Space, lane);
            uint count = ((uint*)(w.Regs + i.B))[lane];
            if (count is 0 or > MaxArrivals)
                throw w.Fault(FaultKind.MbarrierMisuse, $"the arrival count must be 1..{MaxArrivals}, but got {count}",
                    lane);
            if (block.MBarriers.ContainsKey(address))
                throw w.Fault(FaultKind.MbarrierMisuse,
                    $"the mbarrier at 0x{address:X} must be invalidated before it is initialised again", lane);
            block.AddMBarrier(address, new MBarrier(w, block, address, (int)count));
        }
    }

    private static void DecodeBarrierInvalidate(InstructionBuilder b)
    {
        TakeBarrierScope(b);
        b.NeedOperands(1);
        b.Address(0, b.Result.Space);
        b.Result.Run = &BarrierInvalidate;
    }

    private static void BarrierInvalidate(Warp w, Instruction i)
    {
        for (uint m = w.Exec; m != 0; m &= m - 1)
        {
            MBarrier barrier = BarrierAt(w, i.A, i.Offset, i.WideAddress, i.Space, BitOperations.TrailingZeroCount(m));
            barrier.Block.MBarriers.Remove(barrier.Address);
        }
    }

    /// <summary>Mode: 1 expect_tx, 2 noComplete. Mode2: 1 arrive_drop.</summary>
    private static void DecodeBarrierArrive(InstructionBuilder b, bool drop)
    {
        Instruction i = b.Result;
        i.Mode = b.TakeOneOf("expect_tx", "noComplete") + 1;
        i.Mode2 = drop ? 1 : 0;
        if (i.Mode == 1) b.NeedTarget(90);
        TakeBarrierScope(b);
        bool state = b.Operand(0).Kind != OperandKind.Address;
        int at = state ? 1 : 0;
        b.NeedOperands(at + 1 + (i.Mode > 0 ? 1 : 0), at + 2);
        if (state) i.D = b.Destination(0, PtxType.B64);
        b.Address(at, i.Space);
        i.B = b.OperandCount > at + 1 ? b.Source(at + 1, PtxType.U32) : -1;
        i.Run = &BarrierArrive;
    }

    private static void BarrierArrive(Warp w, Instruction i)
    {
        for (uint m = w.Exec; m != 0; m &= m - 1)
        {
            int lane = BitOperations.TrailingZeroCount(m);
            MBarrier barrier = BarrierAt(w, i.A, i.Offset, i.WideAddress, i.Space, lane);
            if (i.D >= 0) ((ulong*)(w.Regs + i.D))[lane] = barrier.State;
            uint value = i.B < 0 ? 1 : ((uint*)(w.Regs + i.B))[lane];
            if (i.Mode == 1) barrier.ExpectBytes(w, value);
            int count = i.Mode == 1 ? 1 : (int)value;
            if (i.Mode == 2 && count >= barrier.PendingArrivals)
                throw w.Fault(FaultKind.MbarrierMisuse,
                    $"noComplete may not complete the phase, but got {count} with {barrier.PendingArrivals} arrivals left",
                    lane);
            if (i.Mode2 == 1) barrier.ArriveAndDrop(w, count, release: !i.Negate);
            else barrier.Arrive(w, count, release: !i.Negate);
        }
    }

    private static void DecodePendingCount(InstructionBuilder b)
    {
        b.Need("b64");
        b.NeedOperands(2);
        Instruction i = b.Result;
        i.D = b.Destination(0, PtxType.U32);
        i.A = i.B = i.C = b.Source(1, PtxType.B64);
        (i.WidthA, i.WidthB, i.WidthC) = (8, 8, 8);
        UseLanes(b, (state, _, _) => state >> MBarrier.StatePhaseBits);
    }

    private static void DecodeBarrierExpect(InstructionBuilder b, bool complete)
    {
        b.NeedTarget(90);
        b.Result.Mode = complete ? 1 : 0;
        TakeBarrierScope(b);
        b.NeedOperands(2);
        b.Address(0, b.Result.Space);
        b.Result.B = b.Source(1, PtxType.U32);
        b.Result.Run = &BarrierExpect;
    }

    private static void BarrierExpect(Warp w, Instruction i)
    {
        for (uint m = w.Exec; m != 0; m &= m - 1)
        {
            int lane = BitOperations.TrailingZeroCount(m);
            MBarrier barrier = BarrierAt(w, i.A, i.Offset, i.WideAddress, i.Space, lane);
            uint bytes = ((uint*)(w.Regs + i.B))[lane];
            if (i.Mode == 0) barrier.ExpectBytes(w, bytes);
            else barrier.CompleteBytes(w, i, bytes, barrier.Phase);
        }
    }

    private static void DecodeBarrierWait(InstructionBuilder b, bool tryWait)
    {
        Instruction i = b.Result;
        if (tryWait) b.NeedTarget(90);
        i.Mode = b.Take("parity") ? 1 : 0;
        i.Mode2 = tryWait ? 1 : 0;
        TakeBarrierScope(b);
        b.NeedOperands(3, tryWait ? 4 : 3);
        i.D = b.Destination(0, PtxType.Pred);
        b.Address(1, i.Space);
        i.WidthB = i.Mode == 1 ? 4 : 8;
        i.B = b.Source(2, i.Mode == 1 ? PtxType.U32 : PtxType.B64);
        if (b.OperandCount == 4) b.Source(3, PtxType.U32);
        i.Run = &BarrierWait;
    }

    private static void BarrierWait(Warp w, Instruction i)
    {
        uint done = 0;
        MBarrier? missing = null;
        // try_wait may give up before the phase completes; a kernel that does not loop shows it here.
        bool givesUp = i.Mode2 == 1 && w.Checks && w.Cluster.Random(8) == 0;
        for (uint m = w.Exec; m != 0; m &= m - 1)
        {
            int lane = BitOperations.TrailingZeroCount(m);
            MBarrier barrier = BarrierAt(w, i.A, i.Offset, i.WideAddress, i.Space, lane);
            ulong value = Lane(w.Regs + i.B, i.WidthB, lane);
            if (i.Mode == 1 && value > 1)
                throw w.Fault(FaultKind.InvalidOperand, $"the parity must be 0 or 1, but got {value}", lane);
            uint parity = i.Mode == 1 ? (uint)value : (uint)(value & 1);
            if (!givesUp
                && (i.Mode == 1 ? barrier.Test(w, parity) : barrier.IsPast(value)
                && barrier.Test(w, (uint)(barrier.Phase - 1) & 1)))
                done |= 1u << lane;
            else missing = barrier;
        }
        SetPredicate(w, i.D, done);
        if (missing is null) w.FruitlessPolls = 0;
        else w.Poll(missing);
    }
}
