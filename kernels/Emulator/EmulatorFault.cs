using CudaLora.Kernels.Driver;

namespace CudaLora.Kernels.Emulator;

/// <summary>What a kernel did wrong.</summary>
public enum FaultKind
{
    /// <summary>
    /// An access outside every live allocation, the block's shared memory or a thread's local memory.
    /// </summary>
    OutOfBounds,

    /// <summary>An address that is not a multiple of the access size.</summary>
    Misaligned,

    /// <summary>A register, or memory, read before anything wrote it.</summary>
    UninitialisedRead,

    /// <summary>Two unordered accesses to the same shared memory, one of them a write.</summary>
    SharedRace,

    /// <summary>
    /// Two unordered accesses of different threads to the same global memory, one of them a plain write.
    /// </summary>
    GlobalRace,

    /// <summary>Warps wait at a barrier that others can no longer reach, or with different thread counts.</summary>
    MissingBarrier,

    /// <summary>Only some lanes of a warp reached an aligned barrier or collective.</summary>
    DivergentBarrier,

    /// <summary>A warp operation whose member mask does not fit the lanes that run it.</summary>
    WarpMask,

    /// <summary>Every live warp waits.</summary>
    Deadlock,

    /// <summary>
    /// Shared memory written by ordinary stores, then used by the async proxy with no fence.proxy.async.
    /// </summary>
    MissingProxyFence,

    /// <summary>An mbarrier that expects other byte counts than the copies deliver.</summary>
    WrongExpectTx,

    /// <summary>An mbarrier that was not initialised, was initialised wrongly, or is out of arrivals.</summary>
    MbarrierMisuse,

    /// <summary>Registers of a wgmma touched before wait_group.</summary>
    WgmmaRegisterInFlight,

    /// <summary>wgmma registers changed, or a first wgmma issued, without wgmma.fence.</summary>
    MissingWgmmaFence,

    /// <summary>A block left while asynchronous work or cluster peers still use its shared memory.</summary>
    EarlyExit,

    /// <summary>An operand value outside what the instruction allows.</summary>
    InvalidOperand,

    /// <summary>The kernel executed <c>trap</c>.</summary>
    Trap,

    /// <summary>The launch ran longer than its instruction budget.</summary>
    InstructionBudget,
}

/// <summary>Where and how a kernel failed.</summary>
/// <param name="Kind">What went wrong.</param>
/// <param name="Message">One line, with values.</param>
/// <param name="Kernel">Entry name.</param>
/// <param name="File">PTX file name.</param>
/// <param name="Line">Line in the file, from 1.</param>
/// <param name="Instruction">The instruction there.</param>
/// <param name="Block">Block index in the grid.</param>
/// <param name="Warp">Warp in the block.</param>
/// <param name="Lane">Lane in the warp; -1 where the whole warp is meant.</param>
/// <param name="OtherLine">Line of the other access of a race; 0 where there is none.</param>
public sealed record EmulatorFault(
    FaultKind Kind, string Message, string Kernel, string File, int Line, string Instruction, Dim3 Block, int Warp,
    int Lane, int OtherLine)
{
    /// <summary>One line: kernel, file, line, block, warp, lane, instruction and message.</summary>
    public override string ToString()
    {
        string lane = Lane >= 0 ? $" lane {Lane}" : "";
        string other = OtherLine > 0 ? $" (other access at line {OtherLine})" : "";
        return $"[{Kernel}] {Kind} at {File}:{Line} '{Instruction}' block {Block} warp {Warp}{lane}: {Message}{other}";
    }
}

/// <summary>A misuse of the emulator by the host, or a launch that faulted.</summary>
public sealed class EmulatorException : Exception
{
    /// <summary>A misuse by the host: message says what must hold and what it got.</summary>
    public EmulatorException(string message)
        : base(message)
    {
    }

    /// <summary>A launch that faulted.</summary>
    public EmulatorException(EmulatorFault fault)
        : base(fault.ToString()) => Fault = fault;

    /// <summary>The fault of a launch; null for a misuse by the host.</summary>
    public EmulatorFault? Fault { get; }
}

/// <summary>Unwinds one block to its launch; never leaves the emulator.</summary>
internal sealed class FaultSignal(EmulatorFault fault) : Exception(fault.Message)
{
    public EmulatorFault Fault { get; } = fault;
}
