using CudaLora.Kernels.Ptx;

namespace CudaLora.Kernels.Emulator;

/// <summary>ldmatrix and stmatrix: 8 x 8 matrices of 16-bit values between shared memory and fragments.</summary>
internal static unsafe partial class Instructions
{
    private static void AddMatrix(Dictionary<string, Action<InstructionBuilder>> table)
    {
        table["ldmatrix"] = b => DecodeMatrixAccess(b, load: true);
        table["stmatrix"] = b => DecodeMatrixAccess(b, load: false);
        table["movmatrix"] = b =>
        {
            b.NeedTarget(75);
            foreach (string suffix in (string[])["sync", "aligned", "m8n8", "trans", "b16"]) b.Need(suffix);
            Operands(b, PtxType.B32, PtxType.B32);
            b.Result.Run = &TransposeMatrix;
        };
    }

    private static void DecodeMatrixAccess(InstructionBuilder b, bool load)
    {
        b.NeedTarget(load ? 75 : 90);
        b.Need("sync");
        b.Need("aligned");
        b.Need("m8n8");
        int count = b.TakeOneOf("x1", "x2", "x4");
        if (count < 0) throw b.Unsupported("expected .x1, .x2 or .x4");
        Instruction i = b.Result;
        i.Negate = b.Take("trans");
        i.Space = TakeSpace(b);
        if (i.Space is not (Space.Shared or Space.Generic)) throw b.Unsupported("expected .shared");
        b.Need("b16");
        b.NeedOperands(2);
        i.Count = 1 << count;
        i.Rows = b.Vector(load ? 0 : 1, i.Count, PtxType.B32, destination: load);
        b.Address(load ? 1 : 0, i.Space);
        b.TouchesShared(16);
        i.Run = load ? &LoadMatrix : &StoreMatrix;
    }

    /// <summary>Lane 4 r + t holds columns 2 t and 2 t + 1 of row r, before and after.</summary>
    private static void TransposeMatrix(Warp w, Instruction i)
    {
        w.RequireConverged();
        uint* from = (uint*)(w.Regs + i.A), to = (uint*)(w.Regs + i.D);
        ushort* elements = stackalloc ushort[64];
        for (int lane = 0; lane < 32; lane++)
        {
            elements[2 * lane] = (ushort)from[lane];
            elements[(2 * lane) + 1] = (ushort)(from[lane] >> 16);
        }
        for (int lane = 0; lane < 32; lane++)
        {
            int row = lane >> 2, column = 2 * (lane & 3);
            to[lane] = elements[(8 * column) + row] | ((uint)elements[(8 * (column + 1)) + row] << 16);
        }
    }

    private static uint AddressLanes(int matrices) => matrices == 4 ? uint.MaxValue : (1u << (8 * matrices)) - 1;

    private static void LoadMatrix(Warp w, Instruction i)
    {
        w.RequireConverged();
        w.ResolveLanes(i, AddressLanes(i.Count), 16, Access.Read);
        for (int m = 0; m < i.Count; m++)
        {
            if (i.Rows[m] < 0) continue;
            uint* to = (uint*)(w.Regs + i.Rows[m]);
            for (int lane = 0; lane < 32; lane++)
            {
                int g = lane >> 2, t = lane & 3;
                to[lane] = i.Negate
                    ? ((ushort*)w.Pointers[(8 * m) + (2 * t)])[g]
                        | ((uint)((ushort*)w.Pointers[(8 * m) + (2 * t) + 1])[g] << 16)
                    : ((uint*)w.Pointers[(8 * m) + g])[t];
            }
        }
    }

    private static void StoreMatrix(Warp w, Instruction i)
    {
        w.RequireConverged();
        w.ResolveLanes(i, AddressLanes(i.Count), 16, Access.Write);
        for (int m = 0; m < i.Count; m++)
        {
            uint* from = (uint*)(w.Regs + i.Rows[m]);
            for (int lane = 0; lane < 32; lane++)
            {
                int g = lane >> 2, t = lane & 3;
                if (i.Negate)
                {
                    ((ushort*)w.Pointers[(8 * m) + (2 * t)])[g] = (ushort)from[lane];
                    ((ushort*)w.Pointers[(8 * m) + (2 * t) + 1])[g] = (ushort)(from[lane] >> 16);
                }
                else
                {
                    ((uint*)w.Pointers[(8 * m) + g])[t] = from[lane];
                }
            }
        }
    }
}
