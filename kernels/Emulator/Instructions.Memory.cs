using System.Numerics;
using System.Runtime.CompilerServices;
using CudaLora.Kernels.Ptx;

namespace CudaLora.Kernels.Emulator;

/// <summary>Loads, stores and prefetches in all state spaces.</summary>
internal static unsafe partial class Instructions
{
    private static void AddMemory(Dictionary<string, Action<InstructionBuilder>> table)
    {
        table["ld"] = DecodeLoad;
        table["ldu"] = DecodeLoad;
        table["st"] = DecodeStore;
        table["prefetch"] = DecodePrefetch;
        table["prefetchu"] = DecodePrefetch;
        table["discard"] = DecodePrefetch;
        table["createpolicy"] = DecodePolicy;
    }

    private static Space TakeSpace(InstructionBuilder b) => b.TakeOneOf(
        "global", "shared", "shared::cta", "shared::cluster", "local", "param", "const", "param::entry",
        "param::func") switch
    {
        0 => Space.Global,
        1 or 2 => Space.Shared,
        3 => Space.SharedCluster,
        4 => Space.Local,
        5 or 7 or 8 => Space.Param,
        6 => Space.Const,
        _ => Space.Generic,
    };

    /// <summary>
    /// Takes orderings, scopes and cache hints, which change nothing here; true when an L2 policy operand follows.
    /// </summary>
    private static bool TakeHints(InstructionBuilder b)
    {
        int order = b.TakeOneOf("acquire", "release", "volatile", "relaxed", "weak");
        if (order is 0 or 1) b.Result.Mode2 = 1;
        b.Result.Strong = order is >= 0 and < 4;
        b.TakeOneOf("cta", "cluster", "gpu", "sys");
        b.TakeOneOf("ca", "cg", "cs", "lu", "cv", "wb", "wt", "nc");
        b.Take("nc");
        while (b.TakePrefix("L1::") is not null)
        {
        }
        bool policy = b.Take("L2::cache_hint");
        while (b.TakePrefix("L2::") is not null)
        {
        }
        return policy;
    }

    private static int TakeVectorLength(InstructionBuilder b) =>
        b.TakeOneOf("v2", "v4") switch { 0 => 2, 1 => 4, _ => 1 };

    private static void DecodeLoad(InstructionBuilder b)
    {
        bool policy = TakeHints(b);
        Instruction i = DecodeAccess(b, 1, out PtxType type);
        b.NeedOperands(policy ? 3 : 2);
        i.Rows = b.Vector(0, i.Count, type, destination: true, allowWider: true);
        PtxType register = RegisterType(b, 0, type);
        i.WidthD = register.Size() == 8 ? 8 : 4;
        i.Mode = register.Size();
        b.Address(1, i.Space);
        if (policy) b.Source(2, PtxType.B64);
        if (i.Space == Space.Param)
        {
            if (i.A >= 0) throw b.Unsupported("a parameter is read at a constant offset");
            if (i.Offset < 0 || i.Offset + (i.Size * i.Count) > b.ParameterBytes)
                throw b.Unsupported("the read goes past the parameters");
            i.Run = &LoadParameter;
            return;
        }
        i.Run = i.WidthD == 4 && i.Size == 4 ? &LoadWords : &Load;
    }

    /// <summary>Space, vector length and type of an ld or st; watches shared granules.</summary>
    private static Instruction DecodeAccess(InstructionBuilder b, int address, out PtxType type)
    {
        Instruction i = b.Result;
        i.Space = TakeSpace(b);
        // Parameters of functions and calls live in local memory; those of the entry do not.
        if (i.Space == Space.Param && address < b.OperandCount && b.Operand(address).Variable is not null)
            i.Space = Space.Local;
        i.Count = TakeVectorLength(b);
        type = b.TakeType();
        i.Size = type.Size();
        if (i.Size is 0 or 16) throw b.Unsupported("unsupported type");
        if (i.Size * i.Count > 16) throw b.Unsupported("a vector access has at most 16 bytes");
        i.Signed = type.IsSigned();
        if (i.Space is Space.Shared or Space.SharedCluster or Space.Generic) b.TouchesShared(i.Size * i.Count);
        return i;
    }

    /// <summary>Type of the first register of a value operand.</summary>
    private static PtxType RegisterType(InstructionBuilder b, int index, PtxType otherwise)
    {
        PtxOperand operand = b.Operand(index);
        IReadOnlyList<PtxOperand> items = operand.Kind == OperandKind.Vector ? operand.Items : [operand];
        foreach (PtxOperand item in items)
        {
            if (item.Register is { } register) return register.Type;
        }
        return otherwise;
    }

    private static void LoadParameter(Warp w, Instruction i)
    {
        ReadOnlySpan<byte> from = w.Cluster.Launch.Parameters.AsSpan((int)i.Offset);
        for (int v = 0; v < i.Count; v++)
        {
            if (i.Rows[v] < 0) continue;
            fixed (byte* p = from[(v * i.Size)..])
            {
                ulong value = ReadElement(p, i.Size, i.Signed);
                if (i.Mode == 2) value = (ushort)value;
                for (uint m = w.Exec; m != 0; m &= m - 1)
                    WriteLane(w, i.Rows[v], i.WidthD, BitOperations.TrailingZeroCount(m), value);
            }
        }
    }

    private static ulong ReadElement(byte* p, int size, bool signed) => size switch
    {
        1 => signed ? (ulong)(sbyte)*p : *p,
        2 => signed ? (ulong)*(short*)p : *(ushort*)p,
        4 => signed ? (ulong)*(int*)p : *(uint*)p,
        _ => *(ulong*)p,
    };

    private static void WriteLane(Warp w, int row, int width, int lane, ulong value)
    {
        if (width == 8) ((ulong*)(w.Regs + row))[lane] = value;
        else ((uint*)(w.Regs + row))[lane] = (uint)value;
    }

    private static void DecodeStore(InstructionBuilder b)
    {
        bool async = b.Take("async");
        if (async)
        {
            DecodeRemoteStore(b);
            return;
        }
        bool policy = TakeHints(b);
        Instruction i = DecodeAccess(b, 0, out PtxType type);
        if (i.Space is Space.Param or Space.Const || b.Operand(0).Variable is { IsReadOnly: true })
            throw b.Unsupported("the space is read-only");
        b.NeedOperands(policy ? 3 : 2);
        b.Address(0, i.Space);
        i.Rows = b.Vector(1, i.Count, type, destination: false, allowWider: true);
        i.WidthD = RegisterType(b, 1, type).Size() == 8 ? 8 : 4;
        if (policy) b.Source(2, PtxType.B64);
        i.Run = &Store;
    }

    private static void DecodePrefetch(InstructionBuilder b)
    {
        Space space = TakeSpace(b);
        b.Take("tensormap");
        while (b.TakePrefix("L") is not null)
        {
        }
        b.NeedOperands(1, 2);
        b.AddressRow(0, space == Space.Param ? Space.Generic : space);
        b.Result.Run = &Nothing;
    }

    private static void DecodePolicy(InstructionBuilder b)
    {
        if (b.TakeOneOf("fractional", "range", "cvt") < 0) throw b.Unsupported("expected .fractional, .range or .cvt");
        while (b.TakePrefix("L2") is not null)
        {
        }
        b.Take("global");
        b.Need("b64");
        Instruction i = b.Result;
        i.D = b.Destination(0, PtxType.B64);
        i.WidthA = i.WidthB = i.WidthC = i.WidthD = 8;
        i.A = i.B = i.C = i.D;
        UseLanes(b, (_, _, _) => 0x10F0_0000_0000_0000);
    }
}
