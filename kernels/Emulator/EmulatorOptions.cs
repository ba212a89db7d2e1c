namespace CudaLora.Kernels.Emulator;

/// <summary>When asynchronous copies and wgmma complete, within what the ISA allows.</summary>
public enum AsyncSchedule
{
    /// <summary>At once.</summary>
    Eager,

    /// <summary>Only when something waits for them.</summary>
    Lazy,

    /// <summary>At random moments, by seed.</summary>
    Random,
}

/// <summary>How an <see cref="Emulator"/> runs kernels. Results of a correct kernel do not depend on these.</summary>
public sealed class EmulatorOptions
{
    /// <summary>
    /// Report every kind of fault (default). Off is several times faster; then only bounds are checked.
    /// </summary>
    public bool Checks { get; init; } = true;

    /// <summary>
    /// With <see cref="Checks"/>, report races in global memory too (default). Off saves their shadow: 24 bytes per
    /// 4-byte word that a launch touches.
    /// </summary>
    public bool GlobalRaces { get; init; } = true;

    /// <summary>Seed of the warp order and of random completion.</summary>
    public ulong Seed { get; init; } = 1;

    /// <summary>Completion of asynchronous work.</summary>
    public AsyncSchedule Schedule { get; init; } = AsyncSchedule.Random;

    /// <summary>
    /// Tensor-core sums bit by bit as sm_80 or sm_90 does (by the module's target), or in plain fp32, which is far
    /// faster.
    /// </summary>
    public bool ExactTensorCores { get; init; }

    /// <summary>
    /// What <see cref="Driver.ICudaDriver.KeepsTime"/> says: true to try code that chooses by timing, on times that say
    /// nothing about a GPU.
    /// </summary>
    public bool KeepsTime { get; init; }

    /// <summary>
    /// Matrix products by the project's PTX kernels, so that they are counted as any launch is; else by the CPU, which
    /// is far faster.
    /// </summary>
    public bool CountsProducts { get; init; }

    /// <summary>Threads that run blocks; 0 means one per core.</summary>
    public int Workers { get; init; }

    /// <summary>Warp instructions a launch may run before it counts as endless.</summary>
    public long InstructionBudget { get; init; } = 1L << 36;
}
