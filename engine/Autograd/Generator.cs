namespace CudaLora.Engine;

/// <summary>
/// Hands out counters of one Philox stream. A draw is a pure function of (seed, counter), so the same seed gives the
/// same numbers whatever the device or thread count, and <see cref="Rewind"/> repeats them.
/// </summary>
/// <param name="seed">Key of the stream.</param>
public sealed class Generator(ulong seed)
{
    /// <summary>Key of the stream.</summary>
    public ulong Seed { get; } = seed;

    /// <summary>Next unused counter.</summary>
    public ulong Offset { get; private set; }

    /// <summary>
    /// Device address of what a captured graph adds to the counters it was captured with; 0 outside of a capture.
    /// </summary>
    internal ulong DeviceBase { get; set; }

    /// <summary>Reserves <paramref name="count"/> counters and returns the first.</summary>
    public ulong Take(ulong count)
    {
        var first = Offset;
        Offset += count;
        return first;
    }

    /// <summary>Continues from <paramref name="offset"/>: resuming a run, or repeating a block.</summary>
    public void Rewind(ulong offset) => Offset = offset;
}
