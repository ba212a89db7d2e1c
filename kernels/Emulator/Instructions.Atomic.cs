using System.Numerics;
using CudaLora.Kernels.Ptx;

namespace CudaLora.Kernels.Emulator;

/// <summary>
/// atom and red. Lanes act one after the other, starting at a lane chosen by the seed, so that an order-dependent
/// floating-point sum shows as a difference between seeds.
/// </summary>
internal static unsafe partial class Instructions
{
    private static void AddAtomic(Dictionary<string, Action<InstructionBuilder>> table)
    {
        table["atom"] = b => DecodeAtomic(b, returns: true);
        table["red"] = b =>
        {
            if (b.Take("async")) DecodeRemoteReduction(b);
            else DecodeAtomic(b, returns: false);
        };
    }

    private static void DecodeAtomic(InstructionBuilder b, bool returns)
    {
        Instruction i = b.Result;
        i.Strong = true;
        int order = b.TakeOneOf("relaxed", "acquire", "release", "acq_rel");
        b.TakeOneOf("cta", "cluster", "gpu", "sys");
        i.Space = TakeSpace(b);
        if (i.Space is Space.Local or Space.Param or Space.Const)
            throw b.Unsupported("atomics work on global and shared memory");
        int op = b.TakeOneOf("add", "min", "max", "and", "or", "xor", "exch", "cas", "inc", "dec");
        if (op < 0) throw b.Unsupported("unsupported operation");
        bool noftz = b.Take("noftz");
        bool policy = b.Take("L2::cache_hint");
        int vector = TakeVectorLength(b);
        PtxType type = b.TakeType();
        bool half = type is PtxType.F16 or PtxType.BF16 or PtxType.F16x2 or PtxType.BF16x2;
        if (half ? op != 0 : type.Size() is not (4 or 8) && !(op == 7 && type == PtxType.B16))
            throw b.Unsupported("unsupported type for this operation");
        if (half != noftz) throw b.Unsupported($"'.noftz' goes with .f16 and .bf16 and nothing else");
        if (vector > 1)
        {
            if (i.Space is not Space.Global || op != 0 || (!half && type != PtxType.F32) || type.Size() * vector > 16)
                throw b.Unsupported("vectors are for add on global memory, of .f32, .f16 and .bf16, up to 16 bytes");
            b.NeedTarget(90);
            b.NeedVersion(81);
        }
        int at = returns ? 1 : 0;
        b.NeedOperands(at + (op == 7 ? 3 : 2) + (policy ? 1 : 0));
        if (returns) i.Rows2 = b.Vector(0, vector, type, destination: true);
        b.Address(at, i.Space);
        i.Rows = b.Vector(at + 1, vector, type, destination: false);
        i.B = i.Rows[0];
        i.C = op == 7 ? b.Source(at + 2, type) : i.B;
        if (policy) b.Source(at + 2, PtxType.B64);
        i.Size = type.Size();
        i.Count = vector;
        i.Mode = order >= 1 ? 1 : 0;
        i.Lane = op == 0 && type == PtxType.F32 && i.Space == Space.Global ? FlushingAdd : AtomicBody(b, op, type);
        if (i.Space is not Space.Global) b.TouchesShared(i.Size);
        i.Run = &Atomic;
    }

    /// <summary>f32 sums in global memory: subnormal numbers count as zero, unlike in shared memory.</summary>
    private static readonly LaneFunction FlushingAdd = (x, y, _) => Flushed(Floats.Bits(
        Floats.F32(Flushed((uint)x)) + Floats.F32(Flushed((uint)y))));

    private static uint Flushed(uint bits) => (bits & 0x7F80_0000) == 0 ? bits & 0x8000_0000 : bits;

    private static LaneFunction AtomicBody(InstructionBuilder b, int op, PtxType type)
    {
        bool signed = type.IsSigned(), wide = type.Size() == 8;
        return op switch
        {
            0 => type switch
            {
                PtxType.F32 => (x, y, _) => Floats.Bits(Floats.F32(x) + Floats.F32(y)),
                PtxType.F64 => (x, y, _) => Floats.Bits(Floats.F64(x) + Floats.F64(y)),
                PtxType.F16x2 => (x, y, _) => Floats.ToF16((double)Floats.F16(x) + Floats.F16(y))
                    | (Floats.ToF16((double)Floats.F16(x >> 16) + Floats.F16(y >> 16)) << 16),
                PtxType.BF16x2 => (x, y, _) => Floats.ToBF16((double)Floats.BF16(x & 0xFFFF) + Floats.BF16(y & 0xFFFF))
                    | (Floats.ToBF16((double)Floats.BF16(x >> 16) + Floats.BF16(y >> 16)) << 16),
                PtxType.F16 => (x, y, _) => Floats.ToF16((double)Floats.F16(x) + Floats.F16(y)),
                PtxType.BF16 => (x, y, _) => Floats.ToBF16((double)Floats.BF16(x) + Floats.BF16(y)),
                _ => (x, y, _) => x + y,
            },
            1 when !type.IsFloat() => signed ? (x, y, _) => Extend(x, type) < Extend(y, type) ? x : y : (x, y, _) =>
                Math.Min(x, y),
            2 when !type.IsFloat() => signed ? (x, y, _) => Extend(x, type) > Extend(y, type) ? x : y : (x, y, _) =>
                Math.Max(x, y),
            3 => (x, y, _) => x & y,
            4 => (x, y, _) => x | y,
            5 => (x, y, _) => x ^ y,
            6 => (_, y, _) => y,
            7 => (x, y, z) => x == y ? z : x,
            8 when !wide => (x, y, _) => x >= y ? 0 : x + 1,
            9 when !wide => (x, y, _) => x == 0 || x > y ? y : x - 1,
            _ => throw b.Unsupported("unsupported operation for this type"),
        };
    }

    private static void Atomic(Warp w, Instruction i)
    {
        if (i.Mode == 1) w.Cluster.Synchronise(w);
        w.Resolve(i, i.Size * i.Count, Access.Atomic);
        w.CurrentCounters.Atomics += BitOperations.PopCount(w.Exec) * i.Count;
        int start = w.Checks ? w.Cluster.Random(32) : 0;
        for (int k = 0; k < 32; k++)
        {
            int lane = (start + k) & 31;
            if ((w.Exec >> lane & 1) == 0) continue;
            for (int v = 0; v < i.Count; v++)
            {
                ulong b = Lane(w.Regs + i.Rows[v], i.Size, lane), c = Lane(w.Regs + i.C, i.Size, lane);
                byte* at = w.Pointers[lane] + (v * i.Size);
                ulong old = i.Size switch
                {
                    8 => Exchange64((ulong*)at, i.Lane!, b, c),
                    4 => Exchange32((uint*)at, i.Lane!, (uint)b, (uint)c),
                    _ => Exchange16((ushort*)at, i.Lane!, (ushort)b, (ushort)c),
                };
                if (i.Rows2.Length > 0 && i.Rows2[v] >= 0) WriteLane(w, i.Rows2[v], i.Size, lane, old);
            }
        }
        // The acquire half comes after the exchange, whose value may be another block's that ran meanwhile.
        if (i.Mode == 1) w.Cluster.Synchronise(w);
    }

    internal static uint Exchange32(uint* at, LaneFunction body, uint b, uint c)
    {
        while (true)
        {
            uint old = Volatile.Read(ref *at);
            if (Interlocked.CompareExchange(ref *at, (uint)body(old, b, c), old) == old) return old;
        }
    }

    /// <summary>By exchanging the aligned word that the two bytes are in.</summary>
    internal static ulong Exchange16(ushort* at, LaneFunction body, ushort b, ushort c)
    {
        uint* word = (uint*)((nuint)at & ~(nuint)3);
        int shift = ((nuint)at & 2) != 0 ? 16 : 0;
        while (true)
        {
            uint old = Volatile.Read(ref *word);
            ulong half = (old >> shift) & 0xFFFF;
            uint changed = (old & ~(0xFFFFu << shift)) | ((uint)(body(half, b, c) & 0xFFFF) << shift);
            if (Interlocked.CompareExchange(ref *word, changed, old) == old) return half;
        }
    }

    internal static ulong Exchange64(ulong* at, LaneFunction body, ulong b, ulong c)
    {
        while (true)
        {
            ulong old = Volatile.Read(ref *at);
            if (Interlocked.CompareExchange(ref *at, body(old, b, c), old) == old) return old;
        }
    }
}
