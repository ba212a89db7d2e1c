namespace CudaLora.Kernels.Simd;

/// <summary>
/// The sizes and the mask of an attention. q and y are (B, Tq, Hq, D), k and v (B, Tk, Hkv, D), the log-sum-exp is
/// (B, Hq, Tq), all float. Query head h reads key head h / (Hq / Hkv). Query i stands at key position
/// QueryStart + i and attends a key at position j of its sequence when every condition that is set holds:
/// j &lt;= position (Causal), j &gt; position - Window, j &lt; KeyLengths[b], equal segments. A query that may attend
/// nothing gives zeros, and a log-sum-exp of minus infinity.
/// </summary>
public unsafe struct AttentionShape
{
    /// <summary>B.</summary>
    public int Batch { readonly get; set; }

    /// <summary>Tq, queries per sequence.</summary>
    public int QueryLength { readonly get; set; }

    /// <summary>Tk, keys per sequence.</summary>
    public int KeyLength { readonly get; set; }

    /// <summary>Hq.</summary>
    public int QueryHeads { readonly get; set; }

    /// <summary>Hkv; divides Hq.</summary>
    public int KeyHeads { readonly get; set; }

    /// <summary>D.</summary>
    public int HeadSize { readonly get; set; }

    /// <summary>Factor of the scores, as a rule 1 / sqrt(D).</summary>
    public float Scale { readonly get; set; }

    /// <summary>Whether a query sees only keys up to its own position.</summary>
    public bool Causal { readonly get; set; }

    /// <summary>How many keys a query sees at most, its own position included; 0 for all. Needs Causal.</summary>
    public int Window { readonly get; set; }

    /// <summary>Elements from one sequence of k and v to the next; 0 stands for KeyLength * KeyTimeStride.</summary>
    public long KeyBatchStride { readonly get; set; }

    /// <summary>Elements from one key to the next; 0 stands for Hkv * D.</summary>
    public long KeyTimeStride { readonly get; set; }

    /// <summary>Segment of each key position, (B, Tk), or null. The queries' own positions must lie in it.</summary>
    public int* Segments { readonly get; set; }

    /// <summary>Valid keys per sequence, (B), or null for Tk.</summary>
    public int* KeyLengths { readonly get; set; }

    /// <summary>Position of the first query per sequence, (B), or null for Tk - Tq: the queries come last.</summary>
    public int* QueryStarts { readonly get; set; }

    internal readonly int Group => QueryHeads / KeyHeads;

    internal readonly nint QueryStride => (nint)QueryHeads * HeadSize;

    internal readonly nint KeyStride => KeyTimeStride != 0 ? (nint)KeyTimeStride : (nint)KeyHeads * HeadSize;

    internal readonly nint KeyOffset(int batch, int head)
        => (batch * (KeyBatchStride != 0 ? (nint)KeyBatchStride : KeyLength * KeyStride)) + ((nint)head * HeadSize);

    internal readonly nint QueryOffset(int batch, int time, int head)
        => (((((nint)batch * QueryLength) + time) * QueryHeads) + head) * HeadSize;

    internal readonly nint LseOffset(int batch, int head)
        => (((nint)batch * QueryHeads) + head) * QueryLength;

    internal readonly AttentionMask Mask(int batch) => new()
    {
        Start = QueryStarts != null ? QueryStarts[batch] : KeyLength - QueryLength,
        Keys = KeyLengths != null ? Math.Clamp(KeyLengths[batch], 0, KeyLength) : KeyLength,
        Causal = Causal,
        Window = Window,
        Segments = Segments != null ? Segments + ((nint)batch * KeyLength) : null,
    };

    internal readonly void Check()
    {
        if (Batch < 0 || QueryLength < 0 || KeyLength < 0 || HeadSize < 1 || QueryHeads < 1 || KeyHeads < 1)
            throw new ArgumentException(
                $"[attention] sizes must not be negative and heads at least 1, but got {Sizes()}");
        if (QueryHeads % KeyHeads != 0)
            throw new ArgumentException($"[attention] key heads must divide query heads, but got {Sizes()}");
        if (Window < 0 || (Window > 0 && !Causal))
            throw new ArgumentException(
                $"[attention] a window must be 0 or more and needs a causal mask, but got {Window} (causal {Causal})");
        for (int b = 0; QueryStarts != null && Segments != null && b < Batch; b++)
            if (QueryStarts[b] < 0 || QueryStarts[b] + QueryLength > KeyLength)
                throw new ArgumentException(
                    $"[attention] queries with segments must lie among the keys, but got start {QueryStarts[b]} " +
                    $"in sequence {b} ({Sizes()})");
        if (Segments != null && QueryStarts == null && QueryLength > KeyLength)
            throw new ArgumentException(
                $"[attention] queries with segments must lie among the keys, but got {Sizes()}");
    }

    private readonly string Sizes()
        => $"q ({Batch}, {QueryLength}, {QueryHeads}, {HeadSize}), k ({Batch}, {KeyLength}, {KeyHeads}, {HeadSize})";
}

/// <summary>Which keys a query of one sequence may attend: a range of positions, then equal segments.</summary>
internal unsafe struct AttentionMask
{
    public int Start;
    public int Keys;
    public bool Causal;
    public int Window;
    public int* Segments;

    /// <summary>First key of the range of query i.</summary>
    public readonly int First(int query) => Window > 0 ? Math.Clamp(Start + query - Window + 1, 0, Keys) : 0;

    /// <summary>One past the last key of the range of query i.</summary>
    public readonly int End(int query) => Causal ? Math.Clamp(Start + query + 1, 0, Keys) : Keys;

    /// <summary>First query whose range has key j, of the queries below <paramref name="queries"/>.</summary>
    public readonly int FirstQuery(int key, int queries)
        => key >= Keys ? queries : Causal ? Math.Clamp(key - Start, 0, queries) : 0;

    /// <summary>One past the last query whose range has key j.</summary>
    public readonly int EndQuery(int key, int queries)
        => Window > 0 ? Math.Clamp(key - Start + Window, 0, queries) : queries;

    /// <summary>Whether the keys and the queries all have one segment, so that nothing is masked by it.</summary>
    public readonly bool OneSegment(int firstKey, int endKey, int firstQuery, int endQuery)
    {
        if (Segments == null)
            return true;
        int segment = Segments[firstKey];
        for (int j = firstKey + 1; j < endKey; j++)
            if (Segments[j] != segment)
                return false;
        for (int i = firstQuery; i < endQuery; i++)
            if (Segments[Start + i] != segment)
                return false;
        return true;
    }

    public readonly bool SameSegment(int key, int query) => Segments[key] == Segments[Start + query];
}
