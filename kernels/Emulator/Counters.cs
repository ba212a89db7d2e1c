namespace CudaLora.Kernels.Emulator;

/// <summary>What was counted for one instruction, source line or kernel.</summary>
public struct Counters
{
    /// <summary>Warp instructions issued (guard false in all lanes included).</summary>
    public long WarpInstructions { readonly get; internal set; }

    /// <summary>Lanes that executed, summed.</summary>
    public long LaneInstructions { readonly get; internal set; }

    /// <summary>Branches whose lanes went both ways.</summary>
    public long DivergentBranches { readonly get; internal set; }

    /// <summary>Bytes of global memory that lanes asked to read.</summary>
    public long GlobalReadBytes { readonly get; internal set; }

    /// <summary>Bytes of global memory that lanes asked to write (atomics included).</summary>
    public long GlobalWriteBytes { readonly get; internal set; }

    /// <summary>Distinct 32-byte sectors per warp access, summed; bytes / 32 is the coalesced minimum.</summary>
    public long GlobalSectors { readonly get; internal set; }

    /// <summary>Shared-memory accesses of warps.</summary>
    public long SharedAccesses { readonly get; internal set; }

    /// <summary>Extra shared-memory wavefronts because lanes met in a bank.</summary>
    public long BankConflicts { readonly get; internal set; }

    /// <summary>Atomic operations of lanes.</summary>
    public long Atomics { readonly get; internal set; }

    /// <summary>Floating-point operations outside tensor cores (an fma counts 2).</summary>
    public long ScalarFlops { readonly get; internal set; }

    /// <summary>Floating-point or integer operations of tensor cores (a multiply-add counts 2).</summary>
    public long TensorFlops { readonly get; internal set; }

    internal void Add(in Counters other)
    {
        WarpInstructions += other.WarpInstructions;
        LaneInstructions += other.LaneInstructions;
        DivergentBranches += other.DivergentBranches;
        GlobalReadBytes += other.GlobalReadBytes;
        GlobalWriteBytes += other.GlobalWriteBytes;
        GlobalSectors += other.GlobalSectors;
        SharedAccesses += other.SharedAccesses;
        BankConflicts += other.BankConflicts;
        Atomics += other.Atomics;
        ScalarFlops += other.ScalarFlops;
        TensorFlops += other.TensorFlops;
    }
}
