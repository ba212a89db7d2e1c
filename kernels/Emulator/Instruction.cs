using CudaLora.Kernels.Ptx;

namespace CudaLora.Kernels.Emulator;

/// <summary>A scalar body: raw bits of up to three operands to the raw bits of the result.</summary>
internal delegate ulong LaneFunction(ulong a, ulong b, ulong c);

/// <summary>
/// One decoded instruction. Operands are byte offsets of rows (32 lanes) in a warp's register file; constants and
/// special registers have rows too, so handlers see only rows.
/// </summary>
internal sealed unsafe class Instruction
{
    public delegate*<Warp, Instruction, void> Run;

    /// <summary>Offset of the guard predicate; -1 when unguarded.</summary>
    public int Guard = -1;

    public int GuardRegister = -1;

    public bool GuardNegated;

    /// <summary>Destination rows; -1 when absent.</summary>
    public int D = -1, D2 = -1;

    /// <summary>Source rows; -1 when absent.</summary>
    public int A = -1, B = -1, C = -1, E = -1;

    /// <summary>Rows of vector operands.</summary>
    public int[] Rows = [], Rows2 = [], Rows3 = [];

    /// <summary>Byte widths of the rows, 4 or 8 (predicates 0).</summary>
    public int WidthD = 4, WidthA = 4, WidthB = 4, WidthC = 4;

    /// <summary>Constant added to an address row, or the address itself when <see cref="A"/> is -1.</summary>
    public long Offset;

    /// <summary>Bytes of one memory element, and elements per lane.</summary>
    public int Size, Count = 1;

    public bool Signed, Negate, WideAddress;

    /// <summary>An atomic, or an access that is volatile, relaxed, acquire or release: no race with its like.</summary>
    public bool Strong;

    public Space Space;

    public int Target, Reconverge;

    /// <summary>Where a brx goes, by index.</summary>
    public int[] Targets = [];

    public int Mode, Mode2;

    public ulong Immediate;

    public LaneFunction? Lane;

    public object? Extra;

    /// <summary>Register indices read and written, for the checks.</summary>
    public int[] Reads = [], Writes = [];

    /// <summary>Runs even when the guard is false in every lane, because it handles the guard itself.</summary>
    public bool HandlesGuard;

    /// <summary>wgmma may touch registers that are in flight.</summary>
    public bool IsWgmma;

    /// <summary>Registers of a wgmma: accumulators first, then A's.</summary>
    public int[] Registers = [];

    public int AccumulatorCount => Rows.Length;

    public int Index, Line;

    public int FlopsPerLane;

    public required PtxInstruction Source { get; init; }
}

/// <summary>Memory spaces as instructions name them.</summary>
internal enum Space
{
    Generic, Global, Shared, SharedCluster, Local, Param, Const,
}
