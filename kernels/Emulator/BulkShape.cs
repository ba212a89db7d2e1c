namespace CudaLora.Kernels.Emulator;

/// <summary>Rows of bytes between a box in shared memory and global memory.</summary>
internal sealed unsafe class BulkShape
{
    private readonly List<(nint Global, nint Written, int First, int Length)> _rows = [];

    public int RowBytes { get; private set; }

    public int Swizzling { get; private set; }

    /// <summary>Bytes in shared memory, which is also what the mbarrier counts.</summary>
    public int Bytes => _rows.Count * RowBytes;

    public long GlobalBytes { get; private set; }

    public long Sectors { get; private set; }

    public void Line(Warp w, ulong global, int bytes, Access access, int lane)
    {
        Clear(bytes, 0);
        AddRow(w, global, 0, bytes, access, lane);
    }

    public void Box(Warp w, TensorMapFields map, ReadOnlySpan<int> start, ReadOnlySpan<int> offsets, Access access,
        int lane)
    {
        Clear(map.RowBytes, map.Swizzle);
        int rows = map.Rows;
        for (int r = 0; r < rows; r++)
        {
            (ulong address, int first, int length) = map.IsIm2Col ? map.Pixel(r, start, offsets) : map.Row(r, start);
            AddRow(w, address, first, length, access, lane);
        }
    }

    /// <summary>A line of the shared memory of the block that copies.</summary>
    public void SharedLine(Block block, uint offset, int bytes)
    {
        Clear(bytes, 0);
        _rows.Add(((nint)(block.Shared + offset), 0, 0, bytes));
    }

    private void Clear(int rowBytes, int swizzle)
    {
        _rows.Clear();
        (RowBytes, Swizzling, GlobalBytes, Sectors) = (rowBytes, swizzle, 0, 0);
    }

    /// <summary>Copies global rows to shared memory; what lies outside the tensor becomes zero.</summary>
    public void Load(Block block, uint to)
    {
        for (int r = 0; r < _rows.Count; r++)
        {
            (nint global, _, int first, int length) = _rows[r];
            for (int at = 0; at < RowBytes; at += 16)
            {
                uint address = Swizzle.Apply(to + (uint)((r * RowBytes) + at), Swizzling);
                var target = new Span<byte>(block.Shared + (address - Block.SharedBase), 16);
                target.Clear();
                int low = Math.Max(at, first), high = Math.Min(at + 16, first + length);
                if (high > low)
                    new ReadOnlySpan<byte>((byte*)global + low - first, high - low).CopyTo(target[(low - at)..]);
            }
        }
    }

    /// <summary>Takes the box out of shared memory, row by row.</summary>
    public void Gather(Block block, uint from, ref byte[] data)
    {
        if (data.Length < Bytes) data = new byte[Bytes];
        for (int at = 0; at < Bytes; at += 16)
        {
            uint address = Swizzle.Apply(from + (uint)at, Swizzling);
            new ReadOnlySpan<byte>(block.Shared + (address - Block.SharedBase), 16).CopyTo(data.AsSpan(at));
        }
    }

    /// <summary>Combines a gathered box with what is in global memory, element by element.</summary>
    public void Reduce(byte[] data, LaneFunction body, int size)
    {
        fixed (byte* from = data)
        {
            for (int r = 0; r < _rows.Count; r++)
            {
                (nint global, _, int first, int length) = _rows[r];
                for (int at = 0; at < length; at += size)
                {
                    byte* value = from + (r * RowBytes) + first + at, to = (byte*)global + at;
                    if (size == 8) Instructions.Exchange64((ulong*)to, body, *(ulong*)value, 0);
                    else if (size == 4) Instructions.Exchange32((uint*)to, body, *(uint*)value, 0);
                    else Instructions.Exchange16((ushort*)to, body, *(ushort*)value, 0);
                }
            }
        }
    }

    /// <summary>Writes a gathered box to global memory; what lies outside the tensor is dropped.</summary>
    public void Store(byte[] data)
    {
        for (int r = 0; r < _rows.Count; r++)
        {
            (nint global, nint written, int first, int length) = _rows[r];
            data.AsSpan((r * RowBytes) + first, length).CopyTo(new Span<byte>((byte*)global, length));
            if (written != 0) new Span<byte>((byte*)written, length).Fill(1);
        }
    }

    private void AddRow(Warp w, ulong address, int first, int length, Access access, int lane)
    {
        if (length == 0)
        {
            _rows.Add((0, 0, 0, 0));
            return;
        }
        byte* data = w.GlobalPointer(address, length, access, lane,
            markWritten: false);
        if (w.Cluster.Races is { } races) w.WatchCopy(races, address, length, access, lane);
        _rows.Add(((nint)data, w.WrittenPointer(address), first, length));
        GlobalBytes += length;
        Sectors += (int)((address + (ulong)length + 31) / 32 - (address / 32));
    }
}
