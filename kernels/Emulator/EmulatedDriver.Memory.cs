using System.Runtime.InteropServices;
using CudaLora.Kernels.Driver;

namespace CudaLora.Kernels.Emulator;

// Device and pinned memory, copies, tensor maps.
public sealed unsafe partial class EmulatedDriver
{
    /// <inheritdoc/>
    public CudaResult MemAlloc(out ulong address, nuint bytes)
    {
        address = 0;
        return IsCapturingStrictly ? CudaResult.StreamCaptureUnsupported : Allocate(out address, bytes);
    }

    /// <inheritdoc/>
    public CudaResult MemFree(ulong address) =>
        IsCapturingStrictly ? CudaResult.StreamCaptureUnsupported : Free(address);

    /// <summary>
    /// As the driver's. While the stream records, the memory belongs to the graph and lives as long as it.
    /// </summary>
    public CudaResult MemAllocAsync(out ulong address, nuint bytes, nint stream)
    {
        CudaResult result = Allocate(out address, bytes);
        if (result == CudaResult.Success) Recording(stream)?.Owned.Add(address);
        return result;
    }

    /// <inheritdoc/>
    public CudaResult MemFreeAsync(ulong address, nint stream)
    {
        // What a graph allocates it frees when it is destroyed.
        if (Recording(stream) is { } graph && graph.Owned.Contains(address)) return CudaResult.Success;
        return Queue(stream, "free", () => Free(address));
    }

    /// <inheritdoc/>
    public CudaResult MemGetInfo(out nuint free, out nuint total)
    {
        total = (nuint)capacity;
        free = (nuint)(capacity - Math.Min(capacity, (ulong)Emulator.LiveBytes));
        return CudaResult.Success;
    }

    /// <inheritdoc/>
    public CudaResult MemHostAlloc(out nint pointer, nuint bytes, uint flags)
    {
        pointer = (nint)NativeMemory.AlignedAlloc(bytes, 4096);
        return pointer == 0 ? CudaResult.OutOfMemory : CudaResult.Success;
    }

    /// <inheritdoc/>
    public CudaResult MemFreeHost(nint pointer)
    {
        NativeMemory.AlignedFree((void*)pointer);
        return CudaResult.Success;
    }

    /// <inheritdoc/>
    public CudaResult MemcpyHtoDAsync(ulong destination, void* source, nuint bytes, nint stream)
    {
        var from = (nint)source;
        return Queue(stream, "upload", () =>
        {
            foreach ((ulong at, int length) in Pieces(bytes))
                Emulator.Write(destination + at, new ReadOnlySpan<byte>((byte*)from + at, length));
            return CudaResult.Success;
        });
    }

    /// <inheritdoc/>
    public CudaResult MemcpyDtoHAsync(void* destination, ulong source, nuint bytes, nint stream)
    {
        var to = (nint)destination;
        return Queue(stream, "download", () =>
        {
            foreach ((ulong at, int length) in Pieces(bytes))
                Emulator.Read(source + at, new Span<byte>((byte*)to + at, length));
            return CudaResult.Success;
        });
    }

    /// <inheritdoc/>
    public CudaResult MemcpyDtoDAsync(ulong destination, ulong source, nuint bytes, nint stream) =>
        Queue(stream, "copy", () =>
        {
            if (bytes > 0) Emulator.Copy(destination, source, (long)bytes);
            return CudaResult.Success;
        });

    /// <inheritdoc/>
    public CudaResult MemsetD8Async(ulong destination, byte value, nuint count, nint stream) =>
        Queue(stream, "fill", () =>
        {
            if (count > 0) Emulator.Fill(destination, value, (long)count);
            return CudaResult.Success;
        });

    /// <inheritdoc/>
    public CudaResult MemsetD32Async(ulong destination, uint value, nuint count, nint stream) =>
        Queue(stream, "fill", () =>
        {
            if (count > 0) Emulator.Fill(destination, BitConverter.GetBytes(value), (long)count);
            return CudaResult.Success;
        });

    /// <inheritdoc/>
    public CudaResult DeviceGetDefaultMemPool(out nint pool, int device)
    {
        pool = 2;
        return CudaResult.Success;
    }

    /// <inheritdoc/>
    public CudaResult MemPoolSetAttribute(nint pool, MemPoolAttribute attribute, ulong value) => CudaResult.Success;

    /// <inheritdoc/>
    public CudaResult MemPoolGetAttribute(nint pool, MemPoolAttribute attribute, out ulong value)
    {
        value = attribute == MemPoolAttribute.ReleaseThreshold ? 0 : (ulong)Emulator.LiveBytes;
        return CudaResult.Success;
    }

    /// <inheritdoc/>
    public CudaResult MemPoolTrimTo(nint pool, nuint keepBytes) => CudaResult.Success;

    /// <inheritdoc/>
    public CudaResult TensorMapEncodeTiled(
        out TensorMap map, in TensorMapSpec spec, ReadOnlySpan<ulong> dims, ReadOnlySpan<ulong> strides,
        ReadOnlySpan<uint> box, ReadOnlySpan<uint> elementStrides) =>
        EmulatedTensorMap.Encode(out map, spec, dims, strides, box, elementStrides);

    private CudaResult Allocate(out ulong address, nuint bytes)
    {
        address = 0;
        if (bytes == 0) return CudaResult.InvalidValue;
        if ((ulong)Emulator.LiveBytes + bytes > capacity) return CudaResult.OutOfMemory;
        address = Emulator.Allocate((long)bytes);
        return CudaResult.Success;
    }

    private CudaResult Free(ulong address)
    {
        try
        {
            Emulator.Free(address);
            return CudaResult.Success;
        }
        catch (EmulatorException error)
        {
            return Refused(CudaResult.InvalidValue, error.Message);
        }
    }

    // Spans are limited to 2 GiB.
    private static IEnumerable<(ulong At, int Length)> Pieces(nuint bytes)
    {
        const ulong Most = 1 << 30;
        for (ulong at = 0; at < bytes; at += Most) yield return (at, (int)Math.Min(Most, bytes - at));
    }
}
