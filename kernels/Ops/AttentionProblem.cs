namespace CudaLora.Kernels.Ops;

/// <summary>
/// Sizes, scale and mask of an attention on the device, with the meaning of
/// <see cref="Simd.AttentionShape"/>: q and y are (B, Tq, Hq, D), k and v (B, Tk, Hkv, D), the log-sum-exp (B, Hq, Tq).
/// </summary>
public readonly record struct AttentionProblem
{
    /// <summary>B.</summary>
    public int Batch { get; init; }

    /// <summary>Tq, queries per sequence.</summary>
    public int Queries { get; init; }

    /// <summary>Tk, keys per sequence.</summary>
    public int Keys { get; init; }

    /// <summary>Hq.</summary>
    public int QueryHeads { get; init; }

    /// <summary>Hkv; divides Hq.</summary>
    public int KeyHeads { get; init; }

    /// <summary>D, at most 256.</summary>
    public int Size { get; init; }

    /// <summary>Factor of the scores, above zero.</summary>
    public float Scale { get; init; }

    /// <summary>Whether a query sees only keys up to its own position.</summary>
    public bool Causal { get; init; }

    /// <summary>How many keys a query sees at most, its own position included; 0 for all. Needs Causal.</summary>
    public int Window { get; init; }

    /// <summary>Elements from one sequence of k and v to the next; 0 stands for Tk * Hkv * D.</summary>
    public long KeyBatchStride { get; init; }

    /// <summary>Address of the segment of each key position, (B, Tk) i32; 0 for one segment.</summary>
    public ulong Segments { get; init; }

    /// <summary>Address of the valid keys per sequence, (B) i32; 0 for Tk.</summary>
    public ulong KeyLengths { get; init; }

    /// <summary>Address of the position of the first query per sequence, (B) i32; 0 for Tk - Tq.</summary>
    public ulong QueryStarts { get; init; }

    internal int Group => QueryHeads / KeyHeads;

    internal long KeyStride => KeyBatchStride != 0 ? KeyBatchStride : (long)Keys * KeyHeads * Size;

    internal bool IsEmpty => Batch == 0 || Queries == 0 || QueryHeads == 0;

    // Rows of 16 bytes everywhere, given that the addresses are such.
    internal bool Aligned(ulong addresses) => (addresses & 15) == 0 && Size % 8 == 0 && KeyStride % 8 == 0;

    // Without keys there is no segment to look up.
    internal ulong KeySegments => Keys > 0 ? Segments : 0;

    internal void Check()
    {
        if (Window < 0 || (Window > 0 && !Causal))
            throw new ArgumentException(
                $"[attention] a window must be 0 or more and needs a causal mask, but got {Window} (causal {Causal})");
        if (Segments != 0 && QueryStarts == 0 && Queries > Keys)
            throw new ArgumentException(
                "[attention] queries with segments must lie among the keys, but got "
                + $"{Queries} queries and {Keys} keys");
        if (Size is < 1 or > 256)
            throw new ArgumentException($"[attention] head size on a CUDA device must be 1 to 256, but got {Size}");
        if (!(Scale > 0))
            throw new ArgumentException($"[attention] scale on a CUDA device must be above zero, but got {Scale}");
        if (Batch > 65535)
            throw new ArgumentException($"[attention] batch on a CUDA device must be at most 65535, but got {Batch}");
    }
}
