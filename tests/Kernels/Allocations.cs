namespace CudaLora.Tests;

/// <summary>Counts managed bytes that a repeated piece of work allocates on this thread.</summary>
internal static class Allocations
{
    /// <summary>
    /// The fewest bytes of several rounds. What the work itself allocates shows in every round; what the runtime
    /// allocates once, on this thread, while it compiles the work again for speed, shows in one.
    /// </summary>
    public static long Least(Action round)
    {
        round();
        long least = long.MaxValue;
        for (int i = 0; i < 5 && least > 0; i++)
        {
            long before = GC.GetAllocatedBytesForCurrentThread();
            round();
            least = Math.Min(least, GC.GetAllocatedBytesForCurrentThread() - before);
        }
        return least;
    }
}
