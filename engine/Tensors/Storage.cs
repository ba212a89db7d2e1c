namespace CudaLora.Engine;

/// <summary>
/// A block of device memory shared by the tensors that view it. Reference counted; at zero it goes back to its
/// device's pool, block and object together, so that a warm training step makes neither. Threads that share a model
/// count views of its weights at the same time.
/// </summary>
public sealed unsafe class Storage
{
    private int references;

    internal Storage(Device device, void* pointer, long capacity, int bucket)
    {
        Device = device;
        Pointer = pointer;
        Capacity = capacity;
        Bucket = bucket;
    }

    /// <summary>The device the memory belongs to.</summary>
    public Device Device { get; }

    /// <summary>First byte; 64-byte aligned.</summary>
    public void* Pointer { get; }

    /// <summary>The first byte's address, as kernels take it.</summary>
    internal ulong DeviceAddress => (ulong)Pointer;

    /// <summary>Usable bytes: the size of the bucket, at least what was asked for.</summary>
    public long Capacity { get; }

    internal int Bucket { get; }

    /// <summary>
    /// True while more than one owner holds the block: writing in place would show through another tensor.
    /// </summary>
    public bool IsShared => references > 1;

    internal void Retain() => Interlocked.Increment(ref references);

    internal void Release()
    {
        var left = Interlocked.Decrement(ref references);
        if (left < 0)
            throw new InvalidOperationException("[storage] released more often than retained");
        if (left == 0)
            Device.Return(this);
    }
}
