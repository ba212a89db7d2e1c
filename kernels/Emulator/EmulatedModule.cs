using CudaLora.Kernels.Ptx;

namespace CudaLora.Kernels.Emulator;

/// <summary>A PTX module loaded into an emulator: its kernels decoded, its variables placed in device memory.</summary>
public sealed class EmulatedModule : IDisposable
{
    private readonly Emulator _emulator;
    private readonly Dictionary<string, EmulatedKernel> _kernels = new(StringComparer.Ordinal);
    private readonly Dictionary<string, (ulong Address, long Bytes)> _variables = new(StringComparer.Ordinal);

    internal EmulatedModule(Emulator emulator, PtxModule source)
    {
        _emulator = emulator;
        Source = source;
        foreach (PtxVariable variable in source.Variables)
        {
            if (variable.Space is not (PtxSpace.Global or PtxSpace.Const)) continue;
            ulong address = emulator.Allocate(variable.Size);
            emulator.Write(address, variable.Initial ?? new byte[variable.Size]);
            _variables[variable.Name] = (address, variable.Size);
        }
        foreach (PtxEntry entry in source.Entries) _kernels[entry.Name] = Decoder.Decode(this, entry);
    }

    /// <summary>The parsed text.</summary>
    public PtxModule Source { get; }

    internal bool Disposed { get; private set; }

    /// <summary>
    /// Device address and bytes of a <c>.global</c> or <c>.const</c> variable; false when there is none.
    /// </summary>
    public bool TryGetVariable(string name, out ulong address, out long bytes)
    {
        bool found = _variables.TryGetValue(name, out (ulong Address, long Bytes) place);
        (address, bytes) = place;
        return found;
    }

    /// <summary>Estimate of 32-bit registers per thread, and static shared and local bytes of an entry.</summary>
    /// <exception cref="EmulatorException">The module has no such entry.</exception>
    public (int Registers, int SharedBytes, int LocalBytes) Resources(string entry)
    {
        EmulatedKernel kernel = Kernel(entry);
        return (kernel.RegisterEstimate, kernel.StaticSharedBytes, kernel.LocalBytes);
    }

    internal EmulatedKernel Kernel(string entry) => _kernels.TryGetValue(entry, out EmulatedKernel? kernel)
        ? kernel
        : throw new EmulatorException(
            $"[launch] the module {Source.FileName} must have the entry, but got '{entry}' (it has {string.Join(", ", _kernels.Keys)})");

    /// <summary>Frees the module's variables.</summary>
    public void Dispose()
    {
        if (Disposed) return;
        Disposed = true;
        foreach ((ulong address, _) in _variables.Values) _emulator.Free(address);
    }
}

/// <summary>One decoded entry: code, register file layout and memory needs.</summary>
internal sealed class EmulatedKernel(PtxEntry source, Instruction[] code)
{
    public PtxEntry Source { get; } = source;

    public string Name => Source.Name;

    public Instruction[] Code { get; } = code;

    /// <summary>Bytes of one warp's register file: predicates, registers, special rows, constant rows.</summary>
    public int FileBytes { get; init; }

    /// <summary>Bytes of the part that holds real registers and starts poisoned.</summary>
    public int RegisterBytes { get; init; }

    public required byte[] Constants { get; init; }

    public int ConstantsAt { get; init; }

    /// <summary>Special registers in use, with the offset of their rows.</summary>
    public required (string Name, int Row)[] Specials { get; init; }

    /// <summary>Row offset of every register.</summary>
    public required int[] Rows { get; init; }

    public int RegisterCount => Rows.Length;

    public int StaticSharedBytes { get; init; }

    public int DynamicSharedAlignment { get; init; }

    public int LocalBytes { get; init; }

    public int RegisterEstimate { get; init; }

    /// <summary>Bytes of shared memory that one race-shadow entry covers: the smallest access of the kernel.</summary>
    public int SharedGranule { get; init; }

    public bool UsesAsyncReads { get; init; }

    public bool UsesWgmma { get; init; }
}
