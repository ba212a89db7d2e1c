using System.Numerics;

namespace CudaLora.Kernels.Emulator;

/// <summary>Local memory: what each lane has for itself, parameters of functions included.</summary>
internal sealed unsafe partial class Warp
{
    /// <summary>Makes a place unwritten again in the lanes that run.</summary>
    public void ForgetLocal(int place, int bytes)
    {
        if (LocalWritten == null) return;
        for (uint m = Exec; m != 0; m &= m - 1)
            new Span<byte>(LocalWritten + LocalAt(place, BitOperations.TrailingZeroCount(m)), bytes).Clear();
    }

    /// <summary>Copies within a lane's memory; what was never written stays so.</summary>
    public void CopyLocal(int to, int from, int bytes, int lane)
    {
        long source = LocalAt(from, lane), target = LocalAt(to, lane);
        new ReadOnlySpan<byte>(Local + source, bytes).CopyTo(new Span<byte>(Local + target, bytes));
        if (LocalWritten == null) return;
        new ReadOnlySpan<byte>(LocalWritten + source, bytes).CopyTo(new Span<byte>(LocalWritten + target, bytes));
    }

    public void WriteLocal(int place, ulong value, int bytes, int lane)
    {
        long at = LocalAt(place, lane);
        new ReadOnlySpan<byte>(&value, bytes).CopyTo(new Span<byte>(Local + at, bytes));
        if (LocalWritten != null) new Span<byte>(LocalWritten + at, bytes).Fill(1);
    }

    public ulong ReadLocal(int place, int bytes, int lane)
    {
        long at = LocalAt(place, lane);
        if (LocalWritten != null && !AllWritten(LocalWritten + at, bytes)) throw Unwritten("local", (ulong)place, lane);
        ulong value = 0;
        new ReadOnlySpan<byte>(Local + at, bytes).CopyTo(new Span<byte>(&value, 8));
        return value;
    }

    private long LocalAt(int place, int lane) => ((long)lane * _kernel.LocalBytes) + place;

    private void ResolveLocal(uint lanes, int bytes, Access access)
    {
        int size = _kernel.LocalBytes;
        for (uint m = lanes; m != 0; m &= m - 1)
        {
            int lane = BitOperations.TrailingZeroCount(m);
            ulong address = Addresses[lane];
            if ((address & (ulong)(bytes - 1)) != 0) throw Misaligned("local", address, bytes, lane);
            if (address > (ulong)size || address + (ulong)bytes > (ulong)size)
                throw OutOfBounds("local", address, bytes, lane, null);
            long at = ((long)lane * size) + (long)address;
            Pointers[lane] = Local + at;
            if (LocalWritten == null) continue;
            if (access == Access.Write) new Span<byte>(LocalWritten + at, bytes).Fill(1);
            else if (!AllWritten(LocalWritten + at, bytes)) throw Unwritten("local", address, lane);
        }
    }
}
