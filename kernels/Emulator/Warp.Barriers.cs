using System.Numerics;

namespace CudaLora.Kernels.Emulator;

internal sealed unsafe partial class Warp
{
    /// <summary>
    /// A barrier completed that this warp waits at: writes the result of bar.red, if that is what it ran.
    /// </summary>
    public void TakeBarrierResult(int trueThreads, int threads)
    {
        Instruction i = Current;
        if (i.Mode != 2 || i.D < 0) return;
        int all = Math.Min(threads, Cluster.Launch.Threads);
        if ((BarrierReduction)i.Mode2 == BarrierReduction.Count)
        {
            uint* row = (uint*)(Regs + i.D);
            for (uint m = Exec; m != 0; m &= m - 1) row[BitOperations.TrailingZeroCount(m)] = (uint)trueThreads;
            return;
        }
        bool value = (BarrierReduction)i.Mode2 == BarrierReduction.And ? trueThreads == all : trueThreads > 0;
        uint* predicate = (uint*)(Regs + i.D);
        *predicate = (*predicate & ~Exec) | (value ? Exec : 0);
    }
}
