using CudaLora.Kernels.Driver;
using CudaLora.Kernels.Ptx;

namespace CudaLora.Kernels.Emulator;

/// <summary>
/// Runs PTX on the CPU, stricter than a GPU: device memory, modules and launches, with every fault of a kernel
/// reported and everything it does counted. Launches are synchronous; one at a time per emulator.
/// </summary>
public sealed class Emulator : IDisposable
{
    /// <summary>Largest shared memory of a block, in bytes, as on sm_90.</summary>
    public const int MaxSharedBytes = 232448;

    private readonly Lock _launching = new();

    /// <summary>An emulator with the given options (defaults: all checks on).</summary>
    public Emulator(EmulatorOptions? options = null)
    {
        Options = options ?? new EmulatorOptions();
        Memory = new GlobalMemory(Options.Checks);
    }

    /// <summary>The options it was made with.</summary>
    public EmulatorOptions Options { get; }

    /// <summary>Bytes of device memory that are allocated now.</summary>
    public long LiveBytes => Memory.LiveBytes;

    internal GlobalMemory Memory { get; }

    /// <summary>Allocates device memory, 512-byte aligned; with checks on its bytes count as never written.</summary>
    public ulong Allocate(long bytes) => Memory.Allocate(bytes);

    /// <summary>Frees an allocation. Its address is never given out again.</summary>
    public void Free(ulong address) => Memory.Free(address);

    /// <summary>Copies host bytes to device memory.</summary>
    public void Write(ulong address, ReadOnlySpan<byte> source) => Memory.Write(address, source);

    /// <summary>Copies device memory to the host.</summary>
    public void Read(ulong address, Span<byte> destination) => Memory.Read(address, destination);

    /// <summary>Copies within device memory; what was never written stays so.</summary>
    public void Copy(ulong destination, ulong source, long bytes) => Memory.Copy(destination, source, bytes);

    /// <summary>Sets <paramref name="bytes"/> bytes to a value.</summary>
    public void Fill(ulong address, byte value, long bytes) => Memory.Fill(address, [value], bytes);

    /// <summary>
    /// Repeats a pattern (1, 2 or 4 bytes for the driver's memset calls) <paramref name="count"/> times.
    /// </summary>
    public void Fill(ulong address, ReadOnlySpan<byte> pattern, long count) => Memory.Fill(address, pattern, count);

    /// <summary>Marks bytes as never written again, for pools that recycle memory.</summary>
    public void Poison(ulong address, long bytes) => Memory.Poison(address, bytes);

    /// <summary>True when the range lies in one live allocation.</summary>
    public bool IsLive(ulong address, long bytes) => Memory.Find(address)?.Holds(address, bytes) ?? false;

    /// <summary>
    /// Host pointer to a range of device memory, valid until it is freed, for host code that computes on it
    /// (cuBLAS served by the CPU). With <paramref name="markWritten"/> the range counts as written.
    /// </summary>
    /// <exception cref="EmulatorException">The range does not lie in one live allocation.</exception>
    public unsafe nint HostPointer(ulong address, long bytes, bool markWritten)
    {
        Allocation found = Memory.Require(address, bytes, "host pointer");
        ulong offset = address - found.Address;
        if (markWritten && found.Written != null) new Span<byte>(found.Written + offset, checked((int)bytes)).Fill(1);
        return (nint)(found.Data + offset);
    }

    /// <summary>Parses and decodes PTX text.</summary>
    /// <exception cref="PtxException">The text does not parse or uses something unsupported.</exception>
    public EmulatedModule Load(string text, string fileName) => Load(PtxModule.Parse(text, fileName));

    /// <summary>Decodes a parsed module.</summary>
    /// <exception cref="PtxException">The module uses something unsupported.</exception>
    public EmulatedModule Load(PtxModule module) => new(this, module);

    /// <summary>Runs an entry to its end, or to its first fault, which the report carries.</summary>
    /// <param name="module">A module of this emulator.</param>
    /// <param name="entry">Entry name.</param>
    /// <param name="grid">Blocks.</param>
    /// <param name="block">Threads per block, at most 1024.</param>
    /// <param name="dynamicShared">Bytes of dynamic shared memory.</param>
    /// <param name="packedParams">The packed parameter block; its length must match the entry's.</param>
    /// <param name="cluster">Blocks per cluster; (1, 1, 1) or the entry's own when not given.</param>
    /// <param name="trace">Follows one lane; null for none.</param>
    /// <exception cref="EmulatorException">The launch itself is wrong: entry, shape or parameters.</exception>
    public LaunchReport Launch(EmulatedModule module, string entry, Dim3 grid, Dim3 block, int dynamicShared,
        ReadOnlySpan<byte> packedParams, Dim3? cluster = null, Trace? trace = null)
    {
        EmulatedKernel kernel = module.Kernel(entry);
        (Extent gridShape, Extent blockShape) = (Extent.From(grid), Extent.From(block));
        Extent? given = cluster is { } asked ? Extent.From(asked) : null;
        Extent clusterShape = LaunchChecks.Check(module, kernel, gridShape, blockShape, dynamicShared,
            packedParams.Length, given);
        lock (_launching)
        {
            ulong parameters = Memory.Allocate(Math.Max(packedParams.Length, 1));
            try
            {
                Memory.Write(parameters, packedParams);
                var launch = new Launch(this, kernel, gridShape, blockShape, clusterShape, dynamicShared,
                    parameters, packedParams.ToArray())
                {
                    Trace = trace,
                };
                return launch.Run(cluster is not null || kernel.Source.RequiredCluster is not null);
            }
            finally
            {
                Memory.Free(parameters);
            }
        }
    }

    /// <summary>
    /// Resident warps over the maximum of one multiprocessor, 0..1. Limits used: 65,536 registers allocated per warp in
    /// units of 256, 64 warps, 32 blocks, and 228 KiB (sm_90), 164 KiB (sm_80) or 100 KiB (others) of shared memory
    /// with 1 KiB reserved per block.
    /// </summary>
    public static double TheoreticalOccupancy(int target, int threads, int registers, int sharedBytes)
    {
        int warps = Math.Max((threads + 31) / 32, 1);
        int maxWarps = target is 86 or 87 or 89 ? 48 : 64;
        int perWarp = (Math.Max(registers, 1) * 32 + 255) / 256 * 256;
        int byRegisters = 65536 / perWarp / warps;
        int capacity = (target >= 90 ? 228 : target is 80 or 87 ? 164 : 100) * 1024;
        int byShared = capacity / (sharedBytes + 1024);
        int blocks = Math.Min(Math.Min(byRegisters, byShared), Math.Min(maxWarps / warps, 32));
        return Math.Min(1.0, (double)blocks * warps / maxWarps);
    }

    /// <summary>Frees all device memory.</summary>
    public void Dispose() => Memory.Dispose();
}
