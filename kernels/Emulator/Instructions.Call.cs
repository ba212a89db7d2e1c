using System.Numerics;
using CudaLora.Kernels.Ptx;

namespace CudaLora.Kernels.Emulator;

/// <summary>
/// Calls, which the linker has replaced by the function's own instructions: what is left is to copy arguments in and
/// results out, and to make the function's registers and variables fresh.
/// </summary>
internal static unsafe partial class Instructions
{
    private static void AddCalls(Dictionary<string, Action<InstructionBuilder>> table)
    {
        table["call"] = DecodeCall;
        table[FunctionLinker.CallEnd] = DecodeCall;
    }

    private static void DecodeCall(InstructionBuilder b)
    {
        b.Take("uni");
        PtxTransfer transfer = b.Transfer;
        b.Result.Extra = new CallCopies(
            [.. transfer.Copies.Select(c => CallCopy.Decode(b, c.To, c.From, c.Type))],
            [.. transfer.FreshRegisters.Select(r => r.Index)],
            [.. transfer.FreshVariables.Select(v => ((int)b.Decoder.AddressOf(v, b), (int)v.Size))]);
        b.Result.Run = &CopyForCall;
    }

    private static void CopyForCall(Warp w, Instruction i)
    {
        var copies = (CallCopies)i.Extra!;
        foreach (CallCopy copy in copies.Copies) copy.Run(w);
        if (!w.Checks) return;
        w.Forget(copies.FreshRegisters);
        foreach ((int place, int bytes) in copies.FreshMemory) w.ForgetLocal(place, bytes);
    }

    private sealed record CallCopies(CallCopy[] Copies, int[] FreshRegisters, (int Place, int Bytes)[] FreshMemory);

    /// <summary>
    /// One value in or out, between register rows and places in local memory. A source row is an index into the
    /// instruction's third list of rows, where the decoder puts constants in place; -1 means memory.
    /// </summary>
    private sealed record CallCopy(int ToRow, int ToPlace, int From, int FromPlace, int Bytes)
    {
        public static CallCopy Decode(InstructionBuilder b, PtxOperand to, PtxOperand from, PtxType type)
        {
            int toRow = -1, toPlace = 0, at = -1, fromPlace = 0, bytes = type.Size();
            if (from.Variable is { Space: PtxSpace.Param } source)
            {
                (fromPlace, bytes) = ((int)b.Decoder.AddressOf(source, b), (int)source.Size);
            }
            else
            {
                at = b.Result.Rows3.Length;
                b.Result.Rows3 = [.. b.Result.Rows3, b.Source(from, type)];
            }
            if (to.Variable is { Space: PtxSpace.Param } target) toPlace = (int)b.Decoder.AddressOf(target, b);
            else toRow = b.Destination(to, type);
            return new CallCopy(toRow, toPlace, at, fromPlace, bytes);
        }

        public void Run(Warp w)
        {
            byte* from = From < 0 ? null : w.Regs + w.Current.Rows3[From];
            if (Bytes == 0)
            {
                uint* to = (uint*)(w.Regs + ToRow);
                *to = (*to & ~w.Exec) | (*(uint*)from & w.Exec);
                return;
            }
            int width = Bytes == 8 ? 8 : 4;
            for (uint m = w.Exec; m != 0; m &= m - 1)
            {
                int lane = BitOperations.TrailingZeroCount(m);
                if (from == null && ToRow < 0) w.CopyLocal(ToPlace, FromPlace, Bytes, lane);
                else if (ToRow < 0) w.WriteLocal(ToPlace, Lane(from, width, lane), Bytes, lane);
                else WriteLane(w, ToRow, width, lane,
                    from == null ? w.ReadLocal(FromPlace, Bytes, lane) : Lane(from, width, lane));
            }
        }
    }
}
