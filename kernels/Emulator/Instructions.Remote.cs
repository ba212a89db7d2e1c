using System.Numerics;
using CudaLora.Kernels.Ptx;

namespace CudaLora.Kernels.Emulator;

/// <summary>
/// st.async and red.async: into the shared memory of the cluster, complete on an mbarrier in the same block.
/// </summary>
internal static unsafe partial class Instructions
{
    private static void DecodeRemoteStore(InstructionBuilder b)
    {
        b.NeedTarget(90);
        b.NeedVersion(81);
        Instruction i = b.Result;
        b.Take("weak");
        DecodeRemotePlaces(b);
        i.Count = TakeVectorLength(b);
        PtxType type = b.TakeType();
        i.Size = type.Size();
        if (i.Size is not (4 or 8) || i.Size * i.Count > 16) throw b.Unsupported("unsupported type");
        i.Rows = b.Vector(1, i.Count, type, destination: false);
        b.TouchesShared(i.Size * i.Count);
    }

    private static void DecodeRemoteReduction(InstructionBuilder b)
    {
        b.NeedTarget(90);
        b.NeedVersion(81);
        Instruction i = b.Result;
        b.Need("relaxed");
        b.Need("cluster");
        DecodeRemotePlaces(b);
        int op = b.TakeOneOf("add", "min", "max", "and", "or", "xor", "exch", "cas", "inc", "dec");
        PtxType type = b.TakeType();
        bool fits = op switch
        {
            0 => type is PtxType.U32 or PtxType.S32 or PtxType.U64,
            1 or 2 => type is PtxType.U32 or PtxType.S32,
            3 or 4 or 5 => type is PtxType.B32,
            8 or 9 => type is PtxType.U32,
            _ => false,
        };
        if (!fits) throw b.Unsupported("unsupported operation for this type");
        i.Size = type.Size();
        i.Rows = b.Vector(1, 1, type, destination: false);
        i.Lane = AtomicBody(b, op, type);
        b.TouchesShared(i.Size);
    }

    private static void DecodeRemotePlaces(InstructionBuilder b)
    {
        Instruction i = b.Result;
        b.Take("shared::cluster");
        b.Need("mbarrier::complete_tx::bytes");
        b.NeedOperands(3);
        b.Address(0, Space.SharedCluster);
        (i.E, long offset, bool wide) = b.AddressRow(2, Space.SharedCluster);
        i.Extra = new BulkBarrier(offset, wide, Multicast: false);
        i.Run = &RemoteAsync;
    }

    private static void RemoteAsync(Warp w, Instruction i)
    {
        var place = (BulkBarrier)i.Extra!;
        int bytes = i.Size * i.Count;
        ulong* value = stackalloc ulong[2];
        for (uint m = w.Exec; m != 0; m &= m - 1)
        {
            int lane = BitOperations.TrailingZeroCount(m);
            ulong to = (uint)((ulong)i.Offset + (i.A < 0 ? 0 : Lane(w.Regs + i.A, i.WideAddress ? 8 : 4, lane)));
            if (to % (ulong)bytes != 0) throw w.Misaligned("shared", to, bytes, lane);
            Block block = w.Owner(ref to, lane);
            MBarrier barrier = BarrierAt(w, i.E, place.Offset, place.Wide, Space.SharedCluster, lane);
            if (barrier.Block != block)
                throw w.Fault(FaultKind.InvalidOperand,
                    $"the mbarrier must be in the block that is written (rank {block.Rank}), but is in rank {barrier.Block.Rank}",
                    lane);
            ulong offset = to - Block.SharedBase;
            if (offset >= (ulong)block.SharedBytes || offset + (ulong)bytes > (ulong)block.SharedBytes)
                throw w.OutOfBounds("shared", to, bytes, lane, null, block);
            block.Shadow?.AsyncWrite(w, lane, (uint)offset, bytes, barrier.Component, barrier.Sequence,
                atomic: i.Lane is not null);
            for (int v = 0; v < i.Count; v++)
            {
                ulong part = Lane(w.Regs + i.Rows[v], i.Size, lane);
                if (i.Size == 8) value[v] = part;
                else ((uint*)value)[v] = (uint)part;
            }
            if (i.Lane is not null) w.CurrentCounters.Atomics++;
            RemoteOperation operation = w.Cluster.Remotes.Rent();
            operation.Start(w, block.Shared + offset, barrier, i.Size == 4 && i.Count == 1 ? (uint)*value : value[0],
                value[1]);
            w.Cluster.Enqueue(operation);
        }
        w.CurrentCounters.SharedAccesses++;
    }
}
