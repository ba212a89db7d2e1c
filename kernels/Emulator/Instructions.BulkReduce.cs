using CudaLora.Kernels.Driver;
using CudaLora.Kernels.Ptx;

namespace CudaLora.Kernels.Emulator;

/// <summary>
/// cp.reduce.async.bulk into global memory: a bulk store whose elements are combined with what is there.
/// </summary>
internal static unsafe partial class Instructions
{
    private static void DecodeBulkReduction(InstructionBuilder b)
    {
        b.NeedTarget(90);
        b.Need("bulk");
        Instruction i = b.Result;
        int rank = 0;
        if (b.Take("tensor"))
        {
            rank = b.TakeOneOf("1d", "2d", "3d", "4d", "5d") + 1;
            if (rank == 0) throw b.Unsupported("expected .1d to .5d");
            if (b.TakeOneOf("tile", "im2col_no_offs") == 1) throw b.Unsupported("im2col stores are not supported");
        }
        if (b.Take("shared::cluster")) throw b.Unsupported("bulk reductions into shared memory are not supported");
        i.Count = rank;
        i.Strong = true;
        int op = b.TakeOneOf("add", "min", "max", "and", "or", "xor", "exch", "cas", "inc", "dec");
        if (op is < 0 or 6 or 7) throw b.Unsupported("unsupported operation");
        bool policy = b.Take("L2::cache_hint");
        b.Need("bulk_group");
        if (rank > 0) i.Extra = BodiesByType(b, op);
        else DecodeLinear(b, op);
        DecodeBulkStore(b, rank, policy);
    }

    private static void DecodeLinear(InstructionBuilder b, int op)
    {
        bool noftz = b.Take("noftz");
        PtxType type = b.TakeType();
        bool half = type is PtxType.F16 or PtxType.BF16;
        if (half != noftz && op == 0) throw b.Unsupported("'.noftz' goes with .f16 and .bf16 and nothing else");
        if (type.Size() is not (2 or 4 or 8) || (type.Size() == 2 && !half)) throw b.Unsupported("unsupported type");
        b.Result.Size = type.Size();
        b.Result.Lane = op == 0 && type == PtxType.F32 ? FlushingAdd : AtomicBody(b, op, type);
    }

    /// <summary>A body for each element type of a tensor map that the operation is defined for.</summary>
    private static LaneFunction?[] BodiesByType(InstructionBuilder b, int op)
    {
        var bodies = new LaneFunction?[16];
        bodies[(int)TensorMapType.Int32] = AtomicBody(b, op, op is 8 or 9 ? PtxType.U32 : PtxType.S32);
        if (op != 0) return bodies;
        bodies[(int)TensorMapType.Float32] = FlushingAdd;
        bodies[(int)TensorMapType.Float16] = AtomicBody(b, op, PtxType.F16);
        bodies[(int)TensorMapType.BFloat16] = AtomicBody(b, op, PtxType.BF16);
        return bodies;
    }
}
