using System.Globalization;
using CudaLora.Kernels.Ptx;

namespace CudaLora.Kernels.Emulator;

/// <summary>wgmma: asynchronous products of a warpgroup, with B (and A) in shared memory.</summary>
internal static unsafe partial class Instructions
{
    private static void AddWgmma(Dictionary<string, Action<InstructionBuilder>> table) => table["wgmma"] = b =>
    {
        b.NeedTarget(90, architecture: true);
        int form = b.TakeOneOf("mma_async", "fence", "commit_group", "wait_group");
        if (form < 0) throw b.Unsupported("unsupported wgmma operation");
        b.Need("sync");
        b.Need("aligned");
        b.Decoder.UsesWgmma = true;
        switch (form)
        {
            case 0:
                DecodeWgmma(b);
                break;
            case 1:
                b.Result.Run = &WgmmaFence;
                break;
            case 2:
                b.Result.Run = &WgmmaCommit;
                break;
            default:
                b.NeedOperands(1);
                b.Result.Mode = (int)b.Constant(0, 0, 7);
                b.Result.Run = &WgmmaWait;
                break;
        }
    };

    private static void DecodeWgmma(InstructionBuilder b)
    {
        Instruction i = b.Result;
        string shape = b.TakePrefix("m64n") ?? throw b.Unsupported("expected .m64nNkK");
        string[] parts = shape[4..].Split('k');
        if (parts.Length != 2 || !int.TryParse(parts[0], NumberStyles.None, CultureInfo.InvariantCulture, out int n)
            || !int.TryParse(parts[1], NumberStyles.None, CultureInfo.InvariantCulture, out int k) || n is < 8 or > 256
                || n % 8 != 0)
            throw b.Unsupported("expected .m64nNkK with N a multiple of 8 up to 256");
        b.Take("satfinite");
        PtxType d = b.TakeType(), a = b.TakeType(), other = b.TakeType();
        int size = a switch
        {
            PtxType.F16 or PtxType.BF16 => 2,
            PtxType.TF32 => 4,
            PtxType.S8 or PtxType.U8 => 1,
            _ =>
            0
        };
        bool integer = size == 1;
        bool types = size != 0 && k * size == 32 && (integer ? d == PtxType.S32 && other is PtxType.S8 or PtxType.U8
            : a == other && (d == PtxType.F32 || (d == PtxType.F16 && a == PtxType.F16)));
        if (!types) throw b.Unsupported("unsupported combination of shape and types");
        bool registerA = b.Operand(1).Kind == OperandKind.Vector;
        int scales = integer ? 0 : 2, transposes = size == 2 ? (registerA ? 1 : 2) : 0;
        b.NeedOperands(4 + scales + transposes);
        PtxType element = d == PtxType.F16 ? PtxType.B32 : d;
        int accumulators = n / 2 / (d == PtxType.F16 ? 2 : 1);
        i.Rows = b.Vector(0, accumulators, element, destination: true);
        // scale-d decides whether D is read, so its registers must be written before only when it is true.
        if (registerA) i.Rows2 = b.Vector(1, 4, PtxType.B32, destination: false);
        else i.A = b.Source(1, PtxType.B64);
        i.B = b.Source(2, PtxType.B64);
        i.C = b.Predicate(b.Operand(3), out i.Negate);
        int scaleA = integer ? 1 : (int)b.Constant(4, -1, 1), scaleB = integer ? 1 : (int)b.Constant(5, -1, 1);
        if (scaleA == 0 || scaleB == 0) throw b.Unsupported("imm-scale must be 1 or -1");
        bool transposeA = transposes == 2 && b.Constant(6, 0, 1) == 1;
        bool transposeB = transposes > 0 && b.Constant(5 + transposes, 0, 1) == 1;
        i.Extra = new WgmmaForm(n, k, a, other, size, d == PtxType.F16, integer, registerA, scaleA, scaleB, transposeA,
            transposeB);
        IEnumerable<PtxOperand> registers = registerA ? b.Operand(0).Items.Concat(b.Operand(1).Items)
            : b.Operand(0).Items;
        i.IsWgmma = true;
        i.Registers = [.. registers.Where(r => r.Register is not null).Select(r => r.Register!.Index)];
        b.Decoder.UsesAsyncReads = true;
        b.TouchesShared(16);
        i.Run = &Wgmma;
    }

    private static void Wgmma(Warp w, Instruction i)
    {
        w.RequireConverged();
        uint predicate = *(uint*)(w.Regs + i.C);
        if (i.Negate) predicate = ~predicate;
        bool accumulate = (predicate & w.Exec) != 0;
        if (accumulate && (predicate & w.Exec) != w.Exec)
            throw w.Fault(FaultKind.InvalidOperand, "scale-d must be the same in all lanes");
        if (accumulate) w.RequireWritten(i.AccumulatorCount, i.Registers);
        w.MarkWritten(i.Writes);
        var form = (WgmmaForm)i.Extra!;
        ulong a = form.RegisterA ? 0 : w.Uniform64(i.A, "descriptor A"), b = w.Uniform64(i.B, "descriptor B");
        var operands = new WgmmaOperands(new MatrixDescriptor(a), new MatrixDescriptor(b), accumulate);
        operands.Check(w, i);
        w.CurrentCounters.TensorFlops += 2L * 16 * form.N * form.K;
        WgmmaState state = w.Wgmma!;
        WgmmaOperation operation = w.Cluster.Products.Rent();
        operation.Start(w, i, operands, state.OpenGroup);
        operation.After = state.Last;
        state.Add(operation);
        w.Cluster.Enqueue(operation);
    }

    private static void WgmmaFence(Warp w, Instruction i)
    {
        w.RequireConverged();
        w.Wgmma!.Fence();
    }

    private static void WgmmaCommit(Warp w, Instruction i)
    {
        w.RequireConverged();
        w.Wgmma!.Commit();
    }

    private static void WgmmaWait(Warp w, Instruction i)
    {
        w.RequireConverged();
        uint upTo = w.Wgmma!.Wait(w.Cluster, i.Mode);
        if (w.Cluster.Order is not { } order) return;
        uint* seen = order.Of(w.Global);
        seen[order.WgmmaGroups(w.Global)] = Math.Max(seen[order.WgmmaGroups(w.Global)], upTo);
    }
}
