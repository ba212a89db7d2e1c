using System.Numerics;
using CudaLora.Kernels.Ptx;

namespace CudaLora.Kernels.Emulator;

/// <summary>cp.async.bulk: linear and tensor (TMA) copies, with mbarrier or group completion, and multicast.</summary>
internal static unsafe partial class Instructions
{
    private static void DecodeBulk(InstructionBuilder b)
    {
        b.NeedTarget(90);
        Instruction i = b.Result;
        if (b.Take("commit_group"))
        {
            i.Run = &CommitBulk;
            return;
        }
        if (b.Take("wait_group"))
        {
            i.Negate = b.Take("read");
            i.Mode = (int)b.Constant(0, 0, 1 << 20);
            i.Run = &WaitBulk;
            return;
        }
        bool prefetch = b.Take("prefetch");
        int rank = 0;
        if (b.Take("tensor"))
        {
            rank = b.TakeOneOf("1d", "2d", "3d", "4d", "5d") + 1;
            if (rank == 0) throw b.Unsupported("expected .1d to .5d");
            int mode = b.TakeOneOf("tile", "im2col", "im2col_no_offs");
            if (mode == 1 && rank < 3) throw b.Unsupported(".im2col needs .3d to .5d");
            if (mode == 2) throw b.Unsupported("im2col stores are not supported");
            i.Mode2 = mode == 1 ? 1 : 0;
        }
        if (prefetch)
        {
            b.Need("L2");
            b.Need("global");
            i.Run = &Nothing;
            return;
        }
        i.Count = rank;
        bool policy = b.Take("L2::cache_hint");
        if (b.Take("bulk_group")) DecodeBulkStore(b, rank, policy);
        else DecodeBulkLoad(b, rank, policy);
    }

    private static void DecodeBulkStore(InstructionBuilder b, int rank, bool policy)
    {
        Instruction i = b.Result;
        b.Need("global");
        b.Need("shared::cta");
        b.NeedOperands((rank > 0 ? 2 : 3) + (policy ? 1 : 0));
        (i.A, i.Offset, i.WideAddress) = b.AddressRow(1, Space.Shared);
        (i.B, long offset, _) = b.AddressRow(0, Space.Global);
        i.Immediate = (ulong)offset;
        if (rank > 0) i.Rows = Coordinates(b, 0, rank);
        else i.C = b.Source(2, PtxType.U32);
        if (policy) b.Source(b.OperandCount - 1, PtxType.B64);
        b.Decoder.UsesAsyncReads = true;
        b.TouchesShared(16);
        i.Run = &StoreBulk;
    }

    private static void DecodeBulkLoad(InstructionBuilder b, int rank, bool policy)
    {
        Instruction i = b.Result;
        b.Need("shared::cluster");
        bool fromShared = rank == 0 && b.Take("shared::cta");
        if (fromShared) throw b.Unsupported("bulk copies between shared memories are not supported");
        b.Need("global");
        b.Need("mbarrier::complete_tx::bytes");
        bool multicast = b.Take("multicast::cluster");
        int barrierAt = rank > 0 ? 2 : 3, offsets = i.Mode2;
        b.NeedOperands(barrierAt + 1 + offsets + (multicast ? 1 : 0) + (policy ? 1 : 0));
        if (offsets == 1) i.Rows3 = b.Vector(barrierAt + 1, rank - 2, PtxType.U16, destination: false);
        (i.A, i.Offset, i.WideAddress) = b.AddressRow(0, Space.SharedCluster);
        (i.B, long offset, _) = b.AddressRow(1, Space.Global);
        i.Immediate = (ulong)offset;
        if (rank > 0) i.Rows = Coordinates(b, 1, rank);
        else i.C = b.Source(2, PtxType.U32);
        (i.E, long barrierOffset, bool barrierWide) = b.AddressRow(barrierAt, Space.SharedCluster);
        i.Extra = new BulkBarrier(barrierOffset, barrierWide, multicast);
        i.Rows2 = multicast ? [b.Source(barrierAt + 1 + offsets, PtxType.U16)] : [];
        if (policy) b.Source(b.OperandCount - 1, PtxType.B64);
        b.TouchesShared(16);
        i.Run = &LoadBulk;
    }

    private sealed record BulkBarrier(long Offset, bool Wide, bool Multicast);

    private static int[] Coordinates(InstructionBuilder b, int operand, int rank)
    {
        IReadOnlyList<PtxOperand> items = b.Operand(operand).Items;
        if (items.Count != rank) throw b.Unsupported($"expected {rank} coordinates, but got {items.Count}");
        int[] rows = new int[rank];
        for (int d = 0; d < rank; d++) rows[d] = b.Source(items[d], PtxType.S32);
        return rows;
    }

    private static void CommitBulk(Warp w, Instruction i)
    {
        for (uint m = w.Exec; m != 0; m &= m - 1) w.CommitBulk(BitOperations.TrailingZeroCount(m));
    }

    private static void WaitBulk(Warp w, Instruction i)
    {
        for (uint m = w.Exec; m != 0; m &= m - 1) w.WaitBulk(BitOperations.TrailingZeroCount(m), i.Mode, i.Negate);
    }

    /// <summary>Sets what a lane copies: the tensor map's box at its coordinates, or a line of bytes.</summary>
    private static void SetShape(BulkShape shape, Warp w, Instruction i, int lane, Access access)
    {
        ulong global = i.Immediate + (i.B < 0 ? 0 : ((ulong*)(w.Regs + i.B))[lane]);
        if (i.Count == 0)
        {
            uint bytes = ((uint*)(w.Regs + i.C))[lane];
            if (bytes == 0 || bytes % 16 != 0)
                throw w.Fault(FaultKind.InvalidOperand, $"a bulk copy moves a multiple of 16 bytes, but got {bytes}",
                    lane);
            if (global % 16 != 0) throw w.Misaligned("global", global, 16, lane);
            shape.Line(w, global, (int)bytes, access, lane);
            return;
        }
        if (global % 64 != 0) throw w.Misaligned("tensor map", global, 64, lane);
        TensorMapFields map = w.Cluster.MapFields;
        if (!EmulatedTensorMap.TryDecode(w.GlobalPointer(global, 128, Access.Read, lane), map))
            throw w.Fault(FaultKind.InvalidOperand, $"there is no tensor map at 0x{global:X}", lane);
        if (map.Rank != i.Count)
            throw w.Fault(FaultKind.InvalidOperand, $"the tensor map has {map.Rank} dimensions, but got {i.Count}",
                lane);
        if (map.IsIm2Col != (i.Mode2 == 1))
            throw w.Fault(FaultKind.InvalidOperand,
                $"the tensor map is for {(map.IsIm2Col ? "im2col" : "tile")} copies", lane);
        Span<int> start = stackalloc int[5], offsets = stackalloc int[3];
        for (int d = 0; d < i.Count; d++) start[d] = ((int*)(w.Regs + i.Rows[d]))[lane];
        for (int d = 0; d < i.Rows3.Length; d++) offsets[d] = ((int*)(w.Regs + i.Rows3[d]))[lane] & 0xFFFF;
        if (map.IsIm2Col && map.OutsideBox(start) is >= 0 and int outside)
            throw w.Fault(FaultKind.InvalidOperand,
                $"the first pixel must lie in the map's box, but coordinate {outside} is {start[outside]}", lane);
        shape.Box(w, map, start, offsets, access, lane);
    }

    private static void LoadBulk(Warp w, Instruction i)
    {
        var place = (BulkBarrier)i.Extra!;
        for (uint m = w.Exec; m != 0; m &= m - 1)
        {
            int lane = BitOperations.TrailingZeroCount(m);
            BulkLoad load = w.Cluster.Loads.Rent();
            BulkShape shape = load.Shape;
            SetShape(shape, w, i, lane, Access.Read);
            w.CurrentCounters.GlobalReadBytes += shape.GlobalBytes;
            w.CurrentCounters.GlobalSectors += shape.Sectors;
            ulong to = (ulong)i.Offset + (i.A < 0 ? 0 : Lane(w.Regs + i.A, i.WideAddress ? 8 : 4, lane));
            to = (uint)to;
            Block first = w.Owner(ref to, lane);
            MBarrier own = BarrierAt(w, i.E, place.Offset, place.Wide, Space.SharedCluster, lane);
            uint alignment = i.Count > 0 ? 128u : 16;
            if (to % alignment != 0) throw w.Misaligned("shared", to, (int)alignment, lane);
            uint mask = place.Multicast ? ((uint*)(w.Regs + i.Rows2[0]))[lane] & 0xFFFF : 1u << first.Rank;
            if (mask == 0 || mask >> w.Cluster.Blocks.Length != 0)
                throw w.Fault(FaultKind.InvalidOperand,
                    $"the multicast mask must name blocks of the cluster, but got 0x{mask:X}", lane);
            load.Start(w, (uint)to);
            for (uint t = mask; t != 0; t &= t - 1)
            {
                Block block = w.Cluster.Blocks[BitOperations.TrailingZeroCount(t)];
                if (block != w.Block && Array.TrueForAll(block.Warps, other => other.State == WarpState.Done))
                    throw w.Fault(FaultKind.EarlyExit,
                        $"block {block.Rank} of the cluster must still run while its shared memory is used", lane);
                MBarrier? barrier = own;
                if (place.Multicast && !block.MBarriers.TryGetValue(own.Address, out barrier))
                    throw w.Fault(FaultKind.MbarrierMisuse, $"block {block.Rank} has no mbarrier at 0x{own.Address:X}",
                        lane);
                load.Add(block, barrier!, lane);
            }
            w.Cluster.Enqueue(load);
        }
    }

    private static void StoreBulk(Warp w, Instruction i)
    {
        for (uint m = w.Exec; m != 0; m &= m - 1)
        {
            int lane = BitOperations.TrailingZeroCount(m);
            BulkStore store = w.Cluster.Stores.Rent();
            BulkShape shape = store.Shape;
            SetShape(shape, w, i, lane, Access.Write);
            w.CurrentCounters.GlobalWriteBytes += shape.GlobalBytes;
            w.CurrentCounters.GlobalSectors += shape.Sectors;
            ulong from = (ulong)i.Offset + (i.A < 0 ? 0 : Lane(w.Regs + i.A, i.WideAddress ? 8 : 4, lane));
            uint alignment = i.Count > 0 ? 128u : 16;
            if (from % alignment != 0) throw w.Misaligned("shared", from, (int)alignment, lane);
            store.Start(w, (uint)from, lane);
            w.Cluster.Enqueue(store);
        }
    }
}
