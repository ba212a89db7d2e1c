using System.Numerics;
using CudaLora.Kernels.Ptx;

namespace CudaLora.Kernels.Emulator;

/// <summary>Exchange between the lanes of a warp.</summary>
internal static unsafe partial class Instructions
{
    private static void AddWarp(Dictionary<string, Action<InstructionBuilder>> table)
    {
        table["shfl"] = DecodeShuffle;
        table["vote"] = DecodeVote;
        table["match"] = DecodeMatch;
        table["redux"] = DecodeReduce;
        table["elect"] = b =>
        {
            b.NeedTarget(90);
            b.Need("sync");
            b.NeedOperands(2);
            Instruction i = b.Result;
            (i.D, i.D2) = PairDestination(b, PtxType.B32);
            i.A = b.Source(1, PtxType.B32);
            i.Run = &Elect;
        };
        table["activemask"] = b =>
        {
            b.Need("b32");
            b.NeedOperands(1);
            b.Result.D = b.Destination(0, PtxType.B32);
            b.Result.Run = &ActiveMask;
        };
    }

    private static (int Value, int Predicate) PairDestination(InstructionBuilder b, PtxType type)
    {
        PtxOperand target = b.Operand(0);
        if (target.Kind != OperandKind.Pair) return (b.Destination(0, type), -1);
        return (b.Destination(target.Items[0], type), b.Destination(target.Items[1], PtxType.Pred));
    }

    /// <summary>Every lane's mask must name the lanes that run here together.</summary>
    private static uint CheckMembers(Warp w, uint* masks)
    {
        uint mask = masks[BitOperations.TrailingZeroCount(w.Exec)];
        for (uint m = w.Exec; m != 0; m &= m - 1)
        {
            int lane = BitOperations.TrailingZeroCount(m);
            if (masks[lane] != mask)
                throw w.Fault(FaultKind.WarpMask,
                    $"lanes that run together must name one mask, but got 0x{mask:X8} and 0x{masks[lane]:X8}", lane);
        }
        uint members = mask & w.Members;
        if (members != w.Exec)
        {
            string why = (w.Exec & ~mask) != 0 ? "a lane runs it without being named"
                : "a named lane is elsewhere or has exited";
            throw w.Fault(FaultKind.WarpMask,
                $"the member mask must be the lanes that run this together (0x{w.Exec:X8}), but got 0x{mask:X8}: {why}");
        }
        return members;
    }

    private static void DecodeShuffle(InstructionBuilder b)
    {
        b.Need("sync");
        Instruction i = b.Result;
        i.Mode = b.TakeOneOf("up", "down", "bfly", "idx");
        if (i.Mode < 0) throw b.Unsupported("expected .up, .down, .bfly or .idx");
        b.Need("b32");
        b.NeedOperands(5);
        (i.D, i.D2) = PairDestination(b, PtxType.B32);
        i.A = b.Source(1, PtxType.B32);
        i.B = b.Source(2, PtxType.B32);
        i.C = b.Source(3, PtxType.B32);
        i.E = b.Source(4, PtxType.B32);
        i.Run = &Shuffle;
    }

    private static void Shuffle(Warp w, Instruction i)
    {
        uint members = CheckMembers(w, (uint*)(w.Regs + i.E));
        uint* source = stackalloc uint[32];
        uint* from = (uint*)(w.Regs + i.A), by = (uint*)(w.Regs + i.B), clamp = (uint*)(w.Regs + i.C);
        for (int lane = 0; lane < 32; lane++) source[lane] = from[lane];
        uint* to = (uint*)(w.Regs + Math.Max(i.D, 0));
        uint inRange = 0;
        for (uint m = w.Exec; m != 0; m &= m - 1)
        {
            int lane = BitOperations.TrailingZeroCount(m);
            int b = (int)by[lane] & 31, segment = (int)(clamp[lane] >> 8) & 31, c = (int)clamp[lane] & 31;
            int high = (lane & segment) | (c & ~segment), low = lane & segment;
            int j = i.Mode switch { 0 => lane - b, 1 => lane + b, 2 => lane ^ b, _ => low | (b & ~segment) };
            bool valid = i.Mode == 0 ? j >= high : j <= high;
            if (!valid) j = lane;
            if (valid) inRange |= 1u << lane;
            if ((members >> j & 1) == 0)
                throw w.Fault(FaultKind.WarpMask,
                    $"the source lane must take part, but lane {j} does not (mask 0x{members:X8})", lane);
            if (i.D >= 0) to[lane] = source[j];
        }
        SetPredicate(w, i.D2, inRange);
    }

    private static void DecodeVote(InstructionBuilder b)
    {
        b.Need("sync");
        Instruction i = b.Result;
        i.Mode = b.TakeOneOf("all", "any", "uni", "ballot");
        b.Need(i.Mode == 3 ? "b32" : "pred");
        b.NeedOperands(3);
        i.D = b.Destination(0, i.Mode == 3 ? PtxType.B32 : PtxType.Pred);
        i.A = b.Predicate(b.Operand(1), out i.Negate);
        i.B = b.Source(2, PtxType.B32);
        i.Run = &Vote;
    }

    private static void Vote(Warp w, Instruction i)
    {
        CheckMembers(w, (uint*)(w.Regs + i.B));
        uint bits = *(uint*)(w.Regs + i.A);
        if (i.Negate) bits = ~bits;
        bits &= w.Exec;
        if (i.Mode == 3) Broadcast(w, i.D, bits);
        else SetPredicate(w, i.D,
            (i.Mode switch { 0 => bits == w.Exec, 1 => bits != 0, _ => bits == 0 || bits == w.Exec }) ? uint.MaxValue
            : 0);
    }

    /// <summary>The same value to every lane that runs.</summary>
    private static void Broadcast(Warp w, int row, uint value)
    {
        if (row < 0) return;
        for (uint m = w.Exec; m != 0; m &= m - 1) ((uint*)(w.Regs + row))[BitOperations.TrailingZeroCount(m)] = value;
    }

    private static void DecodeMatch(InstructionBuilder b)
    {
        Instruction i = b.Result;
        i.Mode = b.TakeOneOf("any", "all");
        b.Need("sync");
        PtxType type = b.TakeType();
        if (i.Mode < 0 || type is not (PtxType.B32 or PtxType.B64))
            throw b.Unsupported("expected .any or .all, and .b32 or .b64");
        b.NeedOperands(3);
        (i.D, i.D2) = PairDestination(b, PtxType.B32);
        i.A = b.Source(1, type);
        i.WidthA = type.Size();
        i.B = b.Source(2, PtxType.B32);
        i.Run = &Match;
    }

    private static void Match(Warp w, Instruction i)
    {
        CheckMembers(w, (uint*)(w.Regs + i.B));
        uint* to = (uint*)(w.Regs + i.D);
        uint same = 0;
        for (uint m = w.Exec; m != 0; m &= m - 1)
        {
            int lane = BitOperations.TrailingZeroCount(m);
            ulong value = Lane(w.Regs + i.A, i.WidthA, lane);
            same = 0;
            for (uint n = w.Exec; n != 0; n &= n - 1)
            {
                int other = BitOperations.TrailingZeroCount(n);
                if (Lane(w.Regs + i.A, i.WidthA, other) == value) same |= 1u << other;
            }
            if (i.Mode == 0) w.Addresses[lane] = same;
        }
        if (i.Mode == 1)
        {
            bool all = same == w.Exec;
            Broadcast(w, i.D, all ? w.Exec : 0);
            SetPredicate(w, i.D2, all ? uint.MaxValue : 0);
            return;
        }
        for (uint m = w.Exec; m != 0; m &= m - 1)
        {
            int lane = BitOperations.TrailingZeroCount(m);
            to[lane] = (uint)w.Addresses[lane];
        }
    }

    private static void DecodeReduce(InstructionBuilder b)
    {
        b.Need("sync");
        Instruction i = b.Result;
        i.Mode = b.TakeOneOf("add", "min", "max", "and", "or", "xor");
        PtxType type = b.TakeType();
        if (i.Mode < 0 || type is not (PtxType.U32 or PtxType.S32 or PtxType.B32))
            throw b.Unsupported("unsupported reduction");
        b.NeedOperands(3);
        i.Signed = type == PtxType.S32;
        i.D = b.Destination(0, type);
        i.A = b.Source(1, type);
        i.B = b.Source(2, PtxType.B32);
        i.Run = &Reduce;
    }

    private static void Reduce(Warp w, Instruction i)
    {
        CheckMembers(w, (uint*)(w.Regs + i.B));
        uint* from = (uint*)(w.Regs + i.A);
        uint result = from[BitOperations.TrailingZeroCount(w.Exec)];
        for (uint m = w.Exec & (w.Exec - 1); m != 0; m &= m - 1)
        {
            uint x = from[BitOperations.TrailingZeroCount(m)];
            result = i.Mode switch
            {
                0 => result + x,
                1 => i.Signed ? (uint)Math.Min((int)result, (int)x) : Math.Min(result, x),
                2 => i.Signed ? (uint)Math.Max((int)result, (int)x) : Math.Max(result, x),
                3 => result & x,
                4 => result | x,
                _ => result ^ x,
            };
        }
        Broadcast(w, i.D, result);
    }

    private static void Elect(Warp w, Instruction i)
    {
        CheckMembers(w, (uint*)(w.Regs + i.A));
        int leader = BitOperations.TrailingZeroCount(w.Exec);
        Broadcast(w, i.D, (uint)leader);
        SetPredicate(w, i.D2, 1u << leader);
    }

    private static void ActiveMask(Warp w, Instruction i) => Broadcast(w, i.D, w.Exec);
}
