namespace CudaLora.Engine;

/// <summary>Kinds of device an op has a body for.</summary>
public enum DeviceKind
{
    /// <summary>The host's processor, through the SIMD kernels.</summary>
    Cpu,

    /// <summary>A CUDA device, or the emulator of one, through the PTX kernels.</summary>
    Cuda,
}

/// <summary>
/// Where tensors live and ops run. Memory comes from a pool of size buckets: eight per power of two, so at most
/// 12.5 % of a block is slack, and a shape that was seen before costs no allocation.
/// </summary>
public abstract unsafe class Device
{
    private const int StepsPerDoubling = 8;
    private const int SmallestBlock = 256;
    private const int NoBucket = -1;

    [ThreadStatic]
    private static Device? chosen;

    private readonly Lock gate = new();
    private readonly Stack<Storage>?[] free = new Stack<Storage>?[64 * StepsPerDoubling];
    private long inUse;
    private long peak;
    private long reserved;
    private long nativeAllocations;

    /// <summary>The host processor; always there.</summary>
    public static Device Cpu { get; } = new CpuDevice();

    /// <summary>Where this thread makes tensors that name no device: the CPU unless <see cref="Use"/>.</summary>
    public static Device Default => chosen ?? Cpu;

    /// <summary>Which of an op's bodies runs here.</summary>
    public abstract DeviceKind Kind { get; }

    /// <summary>Name for people: model and width.</summary>
    public abstract string Name { get; }

    /// <summary>Arithmetic type of activations and frozen matrices that suits the device best.</summary>
    public virtual DType PreferredType => DType.F32;

    /// <summary>
    /// Makes <paramref name="device"/> this thread's default until the returned guard is disposed:
    /// <c>using var _ = Device.Use(cuda);</c>
    /// </summary>
    public static DefaultGuard Use(Device device)
    {
        ArgumentNullException.ThrowIfNull(device);
        var former = chosen;
        chosen = device;
        return new DefaultGuard(former);
    }

    /// <summary>Waits until everything asked of the device is done; a fault of earlier work surfaces here.</summary>
    public virtual void Synchronize()
    {
    }

    /// <summary>Bytes handed out and held by the pool, and how often the system allocator was asked.</summary>
    public DeviceMemory Memory
    {
        get
        {
            lock (gate)
                return new DeviceMemory(inUse, peak, reserved, nativeAllocations);
        }
    }

    /// <summary>Makes the present use the new peak.</summary>
    public void ResetPeakMemory()
    {
        lock (gate)
            peak = inUse;
    }

    /// <summary>
    /// Times memory was given back to the system, or its contents moved: addresses in a captured graph are then not
    /// valid.
    /// </summary>
    internal int PoolGeneration { get; private set; }

    /// <summary>Gives every idle block back to the system.</summary>
    public void TrimPool()
    {
        lock (gate)
        {
            PoolGeneration++;
            foreach (var stack in free)
            {
                while (stack is { Count: > 0 })
                {
                    var storage = stack.Pop();
                    reserved -= storage.Capacity;
                    FreeBlock(storage.Pointer, storage.Capacity);
                }
            }
        }
    }

    /// <summary>Bytes that the pool hands out for a request.</summary>
    public static long PooledSize(long bytes) => CapacityOf(BucketOf(bytes));

    /// <summary>A block of at least <paramref name="bytes"/> with one reference, contents undefined.</summary>
    internal Storage Rent(long bytes) => Rent(Pools ? BucketOf(bytes) : NoBucket, bytes);

    /// <summary>
    /// As <see cref="Rent(long)"/>, but of the exact size and not of the pool: for what is large and lasts.
    /// </summary>
    internal Storage RentExactly(long bytes) => Rent(NoBucket, bytes);

    private Storage Rent(int bucket, long bytes)
    {
        lock (gate)
        {
            var storage = bucket == NoBucket
                ? Allocate(bucket, bytes)
                : Take(bucket) ?? Allocate(bucket, CapacityOf(bucket));
            storage.Retain();
            inUse += storage.Capacity;
            peak = Math.Max(peak, inUse);
            return storage;
        }
    }

    internal void Return(Storage storage)
    {
        lock (gate)
        {
            inUse -= storage.Capacity;
            if (storage.Bucket == NoBucket)
            {
                // A device without a pool captures nothing.
                PoolGeneration += Pools ? 1 : 0;
                reserved -= storage.Capacity;
                FreeBlock(storage.Pointer, storage.Capacity);
                return;
            }
            (free[storage.Bucket] ??= new Stack<Storage>()).Push(storage);
        }
    }

    /// <summary>
    /// Lets go of a block whose contents have moved. If nothing else holds it, it goes back to the system, not to the
    /// pool.
    /// </summary>
    internal void Discard(Storage storage)
    {
        lock (gate)
        {
            PoolGeneration++;
            if (storage.IsShared)
            {
                storage.Release();
                return;
            }
            inUse -= storage.Capacity;
            reserved -= storage.Capacity;
            FreeBlock(storage.Pointer, storage.Capacity);
        }
    }

    /// <summary>Copies host memory to this device.</summary>
    internal abstract void CopyFromHost(void* destination, ReadOnlySpan<byte> source);

    /// <summary>Copies this device's memory to the host.</summary>
    internal abstract void CopyToHost(void* source, Span<byte> destination);

    /// <summary>Copies within this device.</summary>
    internal abstract void Copy(void* source, void* destination, long bytes);

    /// <summary>Sets <paramref name="bytes"/> bytes to zero.</summary>
    internal abstract void Clear(void* destination, long bytes);

    /// <summary>Sets <paramref name="count"/> floats to <paramref name="value"/>.</summary>
    internal abstract void Fill(void* destination, float value, long count);

    /// <summary>False to take every block from the system at its exact size: strict, and slow.</summary>
    private protected virtual bool Pools => true;

    private protected abstract void* AllocateBlock(long bytes);

    private protected abstract void FreeBlock(void* block, long bytes);

    private static int BucketOf(long bytes)
    {
        var size = (ulong)Math.Max(bytes, SmallestBlock) - 1;
        var exponent = 63 - (int)ulong.LeadingZeroCount(size);
        return (exponent * StepsPerDoubling) + (int)((size >> (exponent - 3)) & (StepsPerDoubling - 1));
    }

    private static long CapacityOf(int bucket)
    {
        var (exponent, step) = Math.DivRem(bucket, StepsPerDoubling);
        return (long)(StepsPerDoubling + step + 1) << (exponent - 3);
    }

    // A block up to twice the size serves too: batches of changing length would otherwise fill every bucket in turn.
    private Storage? Take(int bucket)
    {
        for (var b = bucket; b <= bucket + StepsPerDoubling; b++)
        {
            if (free[b] is { Count: > 0 } stack)
                return stack.Pop();
        }
        return null;
    }

    private Storage Allocate(int bucket, long capacity)
    {
        var block = AllocateBlock(capacity);
        reserved += capacity;
        nativeAllocations++;
        return new Storage(this, block, capacity, bucket);
    }

    /// <summary>Restores the thread's former default device when disposed.</summary>
    public readonly ref struct DefaultGuard
    {
        private readonly Device? former;

        internal DefaultGuard(Device? former) => this.former = former;

        /// <summary>Restores the former default.</summary>
        public void Dispose() => chosen = former;
    }
}

/// <summary>A device's memory figures, in bytes.</summary>
/// <param name="InUse">Held by live tensors.</param>
/// <param name="Peak">Highest <paramref name="InUse"/> since the last reset.</param>
/// <param name="Reserved">Taken from the system, in use or idle in the pool.</param>
/// <param name="NativeAllocations">Times the system allocator was asked.</param>
public readonly record struct DeviceMemory(long InUse, long Peak, long Reserved, long NativeAllocations);
