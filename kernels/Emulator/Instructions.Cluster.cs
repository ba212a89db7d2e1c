using System.Numerics;
using CudaLora.Kernels.Ptx;

namespace CudaLora.Kernels.Emulator;

/// <summary>Clusters: address mapping, the cluster barrier, stores that complete on a remote mbarrier.</summary>
internal static unsafe partial class Instructions
{
    private static void AddCluster(Dictionary<string, Action<InstructionBuilder>> table)
    {
        table["mapa"] = b =>
        {
            b.NeedTarget(90);
            bool window = b.Take("shared::cluster");
            PtxType type = b.TakeType();
            if (type is not (PtxType.U32 or PtxType.U64) || (!window && type == PtxType.U32))
                throw b.Unsupported("expected .u32 or .u64");
            Operands(b, type, type, PtxType.U32);
            b.Result.Run = &MapAddress;
            b.Result.Mode = window ? 1 : 0;
        };
        table["getctarank"] = b =>
        {
            b.NeedTarget(90);
            b.Take("shared::cluster");
            PtxType type = b.TakeType();
            Operands(b, PtxType.U32, type);
            b.Result.Run = &RankOf;
        };
    }

    private static void MapAddress(Warp w, Instruction i)
    {
        int blocks = w.Cluster.Blocks.Length;
        for (uint m = w.Exec; m != 0; m &= m - 1)
        {
            int lane = BitOperations.TrailingZeroCount(m);
            ulong address = Lane(w.Regs + i.A, i.WidthA, lane), rank = Lane(w.Regs + i.B, 4, lane);
            if (rank >= (ulong)blocks)
                throw w.Fault(FaultKind.InvalidOperand,
                    $"the rank must be below the cluster's {blocks} blocks, but got {rank}", lane);
            WriteLane(w, i.D, i.WidthD, lane, (address & ~0xFF00_0000ul) | ((rank + 1) << 24));
        }
    }

    private static void RankOf(Warp w, Instruction i)
    {
        for (uint m = w.Exec; m != 0; m &= m - 1)
        {
            int lane = BitOperations.TrailingZeroCount(m);
            uint rank = (uint)(Lane(w.Regs + i.A, i.WidthA, lane) >> 24) & 255;
            WriteLane(w, i.D, 4, lane, rank == 0 ? (uint)w.Block.Rank : rank - 1);
        }
    }

    private static void DecodeClusterBarrier(InstructionBuilder b)
    {
        b.NeedTarget(90);
        Instruction i = b.Result;
        int form = b.TakeOneOf("arrive", "wait");
        if (form < 0) throw b.Unsupported("expected .arrive or .wait");
        i.Mode2 = b.TakeOneOf("release", "relaxed", "acquire") == 1 ? 1 : 0;
        b.Take("aligned");
        b.NeedOperands(0);
        i.Run = form == 0 ? &ClusterArrive : &ClusterWait;
    }

    private static void ClusterArrive(Warp w, Instruction i)
    {
        w.RequireConverged();
        w.Cluster.Barrier.Arrive(w, release: i.Mode2 == 0);
    }

    private static void ClusterWait(Warp w, Instruction i)
    {
        w.RequireConverged();
        w.Cluster.Barrier.Wait(w);
    }
}
