using CudaLora.Kernels.Ptx;

namespace CudaLora.Kernels.Emulator;

/// <summary>Estimates how many 32-bit registers a thread needs: the most that are live at one instruction.</summary>
internal static class Liveness
{
    private const int Overhead = 4; // stack pointer, constants and scheduling slack that ptxas always takes

    public static int Estimate(PtxEntry entry, Instruction[] code)
    {
        int words = (entry.Registers.Count + 63) / 64;
        var live = new ulong[code.Length + 1][];
        for (int i = 0; i <= code.Length; i++) live[i] = new ulong[words];
        bool changed = code.Length * (long)words < 1L << 24;
        while (changed)
        {
            changed = false;
            for (int i = code.Length - 1; i >= 0; i--)
            {
                Instruction at = code[i];
                ulong[] set = new ulong[words];
                int[] targets = at.Targets;
                bool ends = ControlFlow.EndsThread(at.Source);
                if ((!ends && targets.Length == 0) || at.Guard >= 0) Add(set, live[i + 1]);
                foreach (int target in targets) Add(set, live[target]);
                if (at.Guard < 0)
                {
                    foreach (int r in at.Writes) set[r / 64] &= ~(1ul << (r % 64));
                }
                foreach (int r in at.Reads) set[r / 64] |= 1ul << (r % 64);
                if (at.GuardRegister >= 0) set[at.GuardRegister / 64] |= 1ul << (at.GuardRegister % 64);
                if (set.AsSpan().SequenceEqual(live[i])) continue;
                live[i] = set;
                changed = true;
            }
        }
        int most = 0;
        foreach (ulong[] set in live)
        {
            int count = 0;
            foreach (PtxRegister r in entry.Registers)
            {
                if ((set[r.Index / 64] >> (r.Index % 64) & 1) != 0)
                    count += r.Type == PtxType.Pred ? 0 : Math.Max(r.Type.Size() / 4, 1);
            }
            most = Math.Max(most, count);
        }
        return Math.Min(most + Overhead, 255);
    }

    private static void Add(ulong[] to, ulong[] from)
    {
        for (int k = 0; k < to.Length; k++) to[k] |= from[k];
    }
}
