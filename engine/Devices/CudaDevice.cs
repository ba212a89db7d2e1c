using CudaLora.Kernels.Blas;
using CudaLora.Kernels.Driver;
using CudaLora.Kernels.Runtime;

namespace CudaLora.Engine;

/// <summary>How a <see cref="CudaDevice"/> works.</summary>
public sealed record CudaDeviceOptions
{
    /// <summary>Which of the driver's devices.</summary>
    public int Ordinal { get; init; }

    /// <summary>
    /// Takes every block from the driver at its exact size instead of from the pool, so that a driver that checks
    /// bounds sees each tensor's. Slow; for tests.
    /// </summary>
    public bool ExactAllocations { get; init; }

    /// <summary>Waits after every launch, so that a fault is reported at the kernel that made it. Slow.</summary>
    public bool SynchronizeAfterLaunch { get; init; }

    /// <summary>How LoRA layers run.</summary>
    public LoraStrategy LoraStrategy { get; init; }

    /// <summary>
    /// Where <see cref="Engine.LoraStrategy.Auto"/> keeps its choices; null keeps them in memory.
    /// </summary>
    public string? LoraChoicesFile { get; init; } = LoraChoices.DefaultFile;
}

/// <summary>
/// A CUDA device through a driver: the real one, or the emulator. Work is queued in one stream, so memory that goes
/// back to the pool is taken again only by later work. Ops read and write F32 and BF16.
/// </summary>
public sealed unsafe class CudaDevice : Device, IDisposable
{
    private readonly bool pools;
    private readonly bool ownsDriver;
    private CudaStream? copyStream;
    private PinnedMemory? pinned;

    /// <summary>Opens a device of <paramref name="driver"/>.</summary>
    /// <param name="driver">Any driver; it is disposed with the device when it can be and the device owns it.</param>
    /// <param name="options">Defaults if null.</param>
    /// <param name="ownsDriver">Whether disposing the device disposes the driver.</param>
    /// <exception cref="CudaException">The driver does not start or has no such device.</exception>
    public CudaDevice(ICudaDriver driver, CudaDeviceOptions? options = null, bool ownsDriver = false)
    {
        ArgumentNullException.ThrowIfNull(driver);
        options ??= new CudaDeviceOptions();
        this.ownsDriver = ownsDriver;
        pools = !options.ExactAllocations;
        Context = CudaContext.Open(driver, options.Ordinal);
        Context.SynchronizeAfterLaunch = options.SynchronizeAfterLaunch;
        Gemm = driver.CreateGemm(Context);
        LoraStrategy = options.LoraStrategy;
        LoraChoices = new LoraChoices(Context, Gemm.Name, options.LoraChoicesFile);
        Name = $"cuda:{options.Ordinal} ({Context.Properties.Name}, {driver.Name}, {Gemm.Name})";
    }

    /// <inheritdoc/>
    public override DeviceKind Kind => DeviceKind.Cuda;

    /// <inheritdoc/>
    public override string Name { get; }

    /// <inheritdoc/>
    public override DType PreferredType => DType.BF16;

    /// <summary>The opened device.</summary>
    public CudaContext Context { get; }

    /// <summary>The stream all ops queue their work in.</summary>
    public CudaStream Stream => Context.Stream;

    /// <summary>A second stream, for copies beside the work of <see cref="Stream"/>.</summary>
    public CudaStream CopyStream => copyStream ??= new CudaStream(Context);

    /// <summary>Host memory that copies read and write while the device works.</summary>
    internal Device PinnedMemory => pinned ??= new PinnedMemory(Context);

    /// <summary>Matrix products.</summary>
    public IGemm Gemm { get; }

    /// <summary>How LoRA layers run from now on.</summary>
    public LoraStrategy LoraStrategy { get; set; }

    /// <summary>What <see cref="Engine.LoraStrategy.Auto"/> has chosen.</summary>
    public LoraChoices LoraChoices { get; }

    /// <summary>
    /// The strategy of a product if it is forced, or chosen already; if not, it is to be timed by
    /// <see cref="LoraChoices.Choose"/>. Apart, so that a known product makes no closure.
    /// </summary>
    internal bool TryGetStrategy(in LoraProduct product, out LoraStrategy strategy)
    {
        strategy = LoraStrategy;
        return strategy != LoraStrategy.Auto || LoraChoices.TryGet(product, out strategy);
    }

    /// <inheritdoc/>
    public override void Synchronize() => Stream.Synchronize();

    /// <summary>Gives the pool's memory back and closes the device; tensors on it are gone.</summary>
    public void Dispose()
    {
        TrimPool();
        copyStream?.Dispose();
        Gemm.Dispose();
        Context.Dispose();
        if (ownsDriver)
            (Context.Driver as IDisposable)?.Dispose();
    }

    private protected override bool Pools => pools;

    internal override void CopyFromHost(void* destination, ReadOnlySpan<byte> source) =>
        Stream.Upload(source, new DevicePointer<byte>((ulong)destination));

    internal override void CopyToHost(void* source, Span<byte> destination) =>
        Stream.Download(new DevicePointer<byte>((ulong)source), destination);

    internal override void Copy(void* source, void* destination, long bytes) =>
        Stream.Copy(new DevicePointer<byte>((ulong)source), new DevicePointer<byte>((ulong)destination), bytes);

    internal override void Clear(void* destination, long bytes) =>
        Stream.Zero(new DevicePointer<byte>((ulong)destination), bytes);

    internal override void Fill(void* destination, float value, long count) =>
        Stream.Fill(new DevicePointer<float>((ulong)destination), value, count);

    private protected override void* AllocateBlock(long bytes)
    {
        try
        {
            return (void*)Context.Memory.AllocateLasting((ulong)bytes);
        }
        catch (CudaOutOfMemoryException error)
        {
            throw new DeviceMemoryException(
                $"[{Name}] {bytes >> 20} MiB asked, {Memory.InUse >> 20} MiB in use by tensors, "
                + $"{error.Free >> 20} of {error.Total >> 20} MiB free: use a smaller batch, a shorter length, "
                + "gradient checkpointing or a 4-bit base (--quantize nf4)",
                error);
        }
    }

    private protected override void FreeBlock(void* block, long bytes)
    {
        // Work that still reads the block may be queued.
        Stream.Synchronize();
        Context.Memory.FreeLasting((ulong)block, (ulong)bytes);
    }
}
