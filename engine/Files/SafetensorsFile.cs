using System.Buffers.Binary;
using System.Diagnostics.CodeAnalysis;
using System.IO.MemoryMappedFiles;
using System.Runtime.InteropServices;
using CudaLora.Kernels.Simd;

namespace CudaLora.Engine;

/// <summary>
/// A safetensors file mapped into memory: opening it reads the header only, and tensors are views of the mapping until
/// this object is disposed. The file must not be truncated by another program meanwhile; saving over it with
/// <see cref="SafetensorsWriter"/> is safe, because that replaces the file instead of changing it.
/// Format: https://huggingface.co/docs/safetensors.
/// </summary>
public sealed unsafe class SafetensorsFile : IDisposable
{
    private readonly MemoryMappedFile map;
    private readonly MemoryMappedViewAccessor view;
    private readonly SafetensorsHeader.Content content;
    private byte* start;

    private SafetensorsFile(string path, FileStream file, long length)
    {
        Path = path;
        // The mapping keeps its own handle of the file.
        map = MemoryMappedFile.CreateFromFile(
            file, null, 0, MemoryMappedFileAccess.Read, HandleInheritability.None, leaveOpen: false);
        view = map.CreateViewAccessor(0, length, MemoryMappedFileAccess.Read);
        view.SafeMemoryMappedViewHandle.AcquirePointer(ref start);
        try
        {
            start += view.PointerOffset;
            ulong claimed = BinaryPrimitives.ReadUInt64LittleEndian(new ReadOnlySpan<byte>(start, 8));
            int headerLength = SafetensorsHeader.CheckLength(path, claimed, length);
            content = SafetensorsHeader.Parse(
                path, new ReadOnlySpan<byte>(start + 8, headerLength), length - 8 - headerLength);
        }
        catch
        {
            Dispose();
            throw;
        }
    }

    /// <summary>The path it was opened with; errors name it.</summary>
    public string Path { get; }

    /// <summary>All tensors by name.</summary>
    public IReadOnlyDictionary<string, SafetensorsEntry> Entries => content.Entries;

    /// <summary>The <c>__metadata__</c> texts; empty if there are none.</summary>
    public IReadOnlyDictionary<string, string> Metadata => content.Metadata;

    /// <summary>Maps a file and checks its header.</summary>
    /// <exception cref="UserErrorException">Missing, unreadable, not safetensors, or damaged: one line that names file
    /// and tensor.</exception>
    [SuppressMessage("Reliability", "CA2000", Justification = "The mapping owns the stream.")]
    public static SafetensorsFile Open(string path)
    {
        FileStream? file = null;
        try
        {
            file = new FileStream(path, FileMode.Open, FileAccess.Read, FileShare.Read | FileShare.Delete, 1);
            long length = file.Length;
            if (length < 8)
                throw new UserErrorException(
                    $"{path}: a safetensors file must begin with 8 bytes of header length, but has {length} bytes");
            return new SafetensorsFile(path, file, length);
        }
        catch (Exception e) when (FileErrors.IsFileSystem(e))
        {
            file?.Dispose();
            throw FileErrors.CannotRead(path, e);
        }
        catch
        {
            file?.Dispose();
            throw;
        }
    }

    /// <summary>The entry of a tensor.</summary>
    /// <exception cref="UserErrorException">The file has no such tensor.</exception>
    public SafetensorsEntry Entry(string name) => Entries.TryGetValue(name, out SafetensorsEntry? entry)
        ? entry
        : throw new UserErrorException($"{Path}: has no tensor {FileErrors.Quote(name)}");

    /// <summary>
    /// First byte of a tensor in the mapping; it need not be aligned. Valid until <see cref="Dispose"/>.
    /// </summary>
    public byte* Pointer(SafetensorsEntry entry)
    {
        ObjectDisposedException.ThrowIf(start == null, this);
        return start + Own(entry).Offset;
    }

    /// <summary>The bytes of a tensor of up to 2 GiB, without a copy. Valid until <see cref="Dispose"/>.</summary>
    /// <exception cref="InvalidOperationException">Longer than a span can be; use <see cref="Pointer"/>.</exception>
    public ReadOnlySpan<byte> Bytes(SafetensorsEntry entry) => entry.ByteCount <= int.MaxValue
        ? new ReadOnlySpan<byte>(Pointer(entry), (int)entry.ByteCount)
        : throw new InvalidOperationException(
            $"[safetensors] a span holds at most 2 GiB, but {FileErrors.Quote(entry.Name)} has {entry.ByteCount} bytes");

    /// <summary>The elements of a tensor, without a copy. T must have the size of the dtype.</summary>
    public ReadOnlySpan<T> Span<T>(SafetensorsEntry entry) where T : unmanaged => sizeof(T) == entry.DType.Size()
        ? MemoryMarshal.Cast<byte, T>(Bytes(entry))
        : throw new InvalidOperationException(
            $"[safetensors] element size must be {entry.DType.Size()} for {entry.DType}, but {typeof(T).Name} has {sizeof(T)}");

    /// <summary>Copies an F32, F16, BF16 or F64 tensor as singles.</summary>
    /// <param name="entry">The tensor.</param>
    /// <param name="destination">As many elements as the tensor has.</param>
    /// <exception cref="UserErrorException">The dtype is another one.</exception>
    public void CopyToF32(SafetensorsEntry entry, Span<float> destination)
    {
        if (destination.Length != entry.Count)
            throw new ArgumentException(
                $"[safetensors] destination must hold {entry.Count} elements, but holds {destination.Length}");
        fixed (float* d = destination) CopyToF32(entry, d);
    }

    /// <summary>As above for tensors of any length; the caller answers for the room at the pointer.</summary>
    public void CopyToF32(SafetensorsEntry entry, float* destination)
    {
        byte* source = Pointer(entry);
        switch (entry.DType)
        {
            case SafetensorsDType.F32:
                Buffer.MemoryCopy(source, destination, entry.ByteCount, entry.ByteCount);
                break;
            case SafetensorsDType.BF16:
                CastKernel.FromBFloat16((ushort*)source, destination, entry.Count);
                break;
            case SafetensorsDType.F16:
                CastKernel.FromHalf((ushort*)source, destination, entry.Count);
                break;
            case SafetensorsDType.F64:
                FloatConvert.F64ToF32((double*)source, destination, entry.Count);
                break;
            default:
                throw new UserErrorException(
                    $"{Path}: tensor {FileErrors.Quote(entry.Name)} must be F32, F16, BF16 or F64, but is {entry.DType}");
        }
    }

    /// <summary>Unmaps the file; spans and pointers into it become invalid.</summary>
    public void Dispose()
    {
        if (start == null) return;
        start = null;
        view.SafeMemoryMappedViewHandle.ReleasePointer();
        view.Dispose();
        map.Dispose();
    }

    // An entry of another file would point anywhere.
    private SafetensorsEntry Own(SafetensorsEntry entry) =>
        Entries.TryGetValue(entry.Name, out SafetensorsEntry? own) && ReferenceEquals(own, entry)
            ? entry
            : throw new ArgumentException($"[safetensors] the entry must be one of {Path}, but {entry.Name} is not");
}
