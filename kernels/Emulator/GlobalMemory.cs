using System.Runtime.CompilerServices;
using System.Runtime.InteropServices;

namespace CudaLora.Kernels.Emulator;

/// <summary>
/// One block of emulated device memory with, when checks are on, a shadow byte (1 = written) per byte.
/// </summary>
internal sealed unsafe class Allocation(ulong address, long size, byte* data, byte* written)
{
    public ulong Address { get; } = address;

    public long Size { get; } = size;

    public byte* Data { get; } = data;

    public byte* Written { get; } = written;

    /// <summary>Pages of the race shadow that the current launch has touched; null before the first.</summary>
    public nint[]? RacePages { get; set; }

    public bool Holds(ulong address, long bytes) => address - Address <= (ulong)Size
        && (ulong)bytes <= (ulong)Size - (address - Address);
}

/// <summary>
/// Emulated device memory. Addresses are never reused and allocations lie apart, so that a use after free or an
/// overrun is always found.
/// </summary>
internal sealed unsafe class GlobalMemory(bool checks) : IDisposable
{
    private const ulong Base = 0x2_0000_0000;
    private const ulong Gap = 4096;
    private readonly Lock _lock = new();
    private Allocation[] _table = [];
    private ulong _next = Base;

    public long LiveBytes { get; private set; }

    /// <summary>The race shadow of the launch that runs.</summary>
    public GlobalRaces Races { get; } = new();

    public ulong Allocate(long bytes)
    {
        if (bytes <= 0) throw new EmulatorException($"[emulator] an allocation needs at least 1 byte, but got {bytes}");
        lock (_lock)
        {
            byte* data = (byte*)NativeMemory.AllocZeroed((nuint)bytes + 64);
            byte* written = null;
            if (checks)
            {
                written = (byte*)NativeMemory.AllocZeroed((nuint)bytes + 64);
                NativeMemory.Fill(data, (nuint)bytes, 0xFF);
            }
            var allocation = new Allocation(_next, bytes, data, written);
            _next = (_next + (ulong)bytes + Gap + 511) & ~511ul;
            Volatile.Write(ref _table, [.. _table, allocation]);
            LiveBytes += bytes;
            return allocation.Address;
        }
    }

    public void Free(ulong address)
    {
        lock (_lock)
        {
            Allocation? found = Find(address);
            if (found is null || found.Address != address)
                throw new EmulatorException(
                    $"[emulator] free needs the start of a live allocation, but got 0x{address:X}");
            Volatile.Write(ref _table, [.. _table.Where(a => a != found)]);
            LiveBytes -= found.Size;
            Release(found);
        }
    }

    /// <summary>The live allocation that holds the address; null when there is none.</summary>
    public Allocation? Find(ulong address)
    {
        Allocation[] table = Volatile.Read(ref _table);
        int low = 0, high = table.Length - 1;
        while (low <= high)
        {
            int middle = (low + high) >>> 1;
            Allocation at = table[middle];
            if (address < at.Address) high = middle - 1;
            else if (address - at.Address < (ulong)at.Size) return at;
            else low = middle + 1;
        }
        return null;
    }

    public Allocation Require(ulong address, long bytes, string op)
    {
        Allocation? found = Find(address);
        if (found is null || !found.Holds(address, bytes))
        {
            string where = found is null ? "no live allocation there"
                : $"allocation of {found.Size} bytes at 0x{found.Address:X}";
            throw new EmulatorException(
                $"[{op}] {bytes} bytes must lie in device memory, but got 0x{address:X} ({where})");
        }
        return found;
    }

    public void Write(ulong address, ReadOnlySpan<byte> source)
    {
        if (source.IsEmpty) return;
        Allocation to = Require(address, source.Length, "copy to device");
        long offset = (long)(address - to.Address);
        source.CopyTo(new Span<byte>(to.Data + offset, source.Length));
        if (to.Written != null) new Span<byte>(to.Written + offset, source.Length).Fill(1);
    }

    public void Read(ulong address, Span<byte> destination)
    {
        if (destination.IsEmpty) return;
        Allocation from = Require(address, destination.Length, "copy from device");
        new ReadOnlySpan<byte>(from.Data + (address - from.Address), destination.Length).CopyTo(destination);
    }

    public void Copy(ulong destination, ulong source, long bytes)
    {
        if (bytes == 0) return;
        Allocation to = Require(destination, bytes, "device copy"), from = Require(source, bytes, "device copy");
        ulong toOffset = destination - to.Address, fromOffset = source - from.Address;
        Buffer.MemoryCopy(from.Data + fromOffset, to.Data + toOffset, bytes, bytes);
        if (to.Written != null) Buffer.MemoryCopy(from.Written + fromOffset, to.Written + toOffset, bytes, bytes);
    }

    public void Fill(ulong address, ReadOnlySpan<byte> pattern, long count)
    {
        if (count == 0) return;
        long bytes = count * pattern.Length;
        Allocation to = Require(address, bytes, "fill");
        byte* at = to.Data + (address - to.Address);
        for (long i = 0; i < count; i++) pattern.CopyTo(new Span<byte>(at + (i * pattern.Length), pattern.Length));
        if (to.Written != null) NativeMemory.Fill(to.Written + (address - to.Address), (nuint)bytes, 1);
    }

    public void Poison(ulong address, long bytes)
    {
        if (bytes == 0) return;
        Allocation to = Require(address, bytes, "poison");
        if (to.Written == null) return;
        NativeMemory.Fill(to.Data + (address - to.Address), (nuint)bytes, 0xFF);
        NativeMemory.Fill(to.Written + (address - to.Address), (nuint)bytes, 0);
    }

    public void Dispose()
    {
        lock (_lock)
        {
            foreach (Allocation allocation in _table) Release(allocation);
            Races.Free();
            _table = [];
            LiveBytes = 0;
        }
    }

    [MethodImpl(MethodImplOptions.NoInlining)]
    private static void Release(Allocation allocation)
    {
        NativeMemory.Free(allocation.Data);
        NativeMemory.Free(allocation.Written);
    }
}
