using System.Runtime.InteropServices;

namespace CudaLora.Kernels.Simd;

/// <summary>What a thread's scratch block is for; two users of one slot must not overlap in time.</summary>
internal enum ScratchSlot
{
    Shared,
    LocalA,
    LocalB,
    Decode,
    Attention,
    Count,
}

/// <summary>
/// Native work memory of a thread, 64-byte aligned, kept from call to call. It only grows, so a repeated call allocates
/// nothing. Freed when the thread has ended.
/// </summary>
internal sealed unsafe class Scratch
{
    private const nuint Alignment = 64;

    [ThreadStatic]
    private static Scratch? t_current;

    private static long s_grown;

    private readonly void*[] _blocks = new void*[(int)ScratchSlot.Count];
    private readonly nuint[] _sizes = new nuint[(int)ScratchSlot.Count];

    /// <summary>Native allocations made so far, by all threads.</summary>
    public static long Grown => Interlocked.Read(ref s_grown);

    ~Scratch()
    {
        foreach (void* block in _blocks)
            NativeMemory.AlignedFree(block);
    }

    /// <summary>
    /// At least <paramref name="count"/> floats, contents undefined, valid until the slot's next use.
    /// </summary>
    public static float* Floats(ScratchSlot slot, nint count)
    {
        Scratch scratch = t_current ??= new Scratch();
        nuint bytes = (nuint)count * sizeof(float);
        if (scratch._sizes[(int)slot] < bytes)
            scratch.Grow((int)slot, bytes);
        return (float*)scratch._blocks[(int)slot];
    }

    private void Grow(int slot, nuint bytes)
    {
        nuint size = System.Numerics.BitOperations.RoundUpToPowerOf2(Math.Max(bytes, 4096));
        Interlocked.Increment(ref s_grown);
        NativeMemory.AlignedFree(_blocks[slot]);
        _blocks[slot] = null;
        _sizes[slot] = 0;
        _blocks[slot] = NativeMemory.AlignedAlloc(size, Alignment);
        _sizes[slot] = size;
    }
}
