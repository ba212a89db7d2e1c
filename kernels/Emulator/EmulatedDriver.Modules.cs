using System.Text;
using CudaLora.Kernels.Driver;
using CudaLora.Kernels.Ptx;

namespace CudaLora.Kernels.Emulator;

// Modules, functions and launches.
public sealed unsafe partial class EmulatedDriver
{
    // Dynamic shared memory a function may use without asking for more.
    private const int DefaultShared = 48 * 1024;

    /// <summary>As the driver's: PTX text only. A text that does not parse is told in the error log.</summary>
    public CudaResult ModuleLoadDataEx(
        out nint module, ReadOnlySpan<byte> image, ReadOnlySpan<JitOption> options, Span<nint> values)
    {
        module = 0;
        if (IsCapturing) return CudaResult.StreamCaptureUnsupported;
        if (sticky != CudaResult.Success) return sticky;
        string text = Encoding.UTF8.GetString(image).TrimEnd('\0');
        try
        {
            EmulatedModule loaded = Emulator.Load(text, "module.ptx");
            var log = new StringBuilder();
            foreach (PtxEntry entry in loaded.Source.Entries)
            {
                (int registers, int shared, int local) = loaded.Resources(entry.Name);
                // In ptxas's words, so that one reader serves both. The register count is an estimate.
                log.Append("ptxas info    : Compiling entry function '").Append(entry.Name).Append("' for '")
                    .Append(loaded.Source.Target).Append("'\n    ").Append(local)
                    .Append(" bytes stack frame, 0 bytes spill stores, 0 bytes spill loads\nptxas info    : Used ")
                    .Append(registers).Append(" registers, ").Append(shared).Append(" bytes smem\n");
            }
            WriteLog(JitOption.InfoLogBuffer, JitOption.InfoLogBufferBytes, log.ToString(), options, values);
            module = Add(loaded);
            return CudaResult.Success;
        }
        catch (PtxException error)
        {
            WriteLog(JitOption.ErrorLogBuffer, JitOption.ErrorLogBufferBytes, error.Message, options, values);
            return CudaResult.InvalidPtx;
        }
    }

    /// <inheritdoc/>
    public CudaResult ModuleUnload(nint module)
    {
        if (!TryGet(module, out EmulatedModule? loaded)) return CudaResult.InvalidHandle;
        loaded.Dispose();
        return Remove(module);
    }

    /// <inheritdoc/>
    public CudaResult ModuleGetFunction(out nint function, nint module, string name)
    {
        function = 0;
        if (!TryGet(module, out EmulatedModule? loaded)) return CudaResult.InvalidHandle;
        if (loaded.Source.FindEntry(name) is null)
        {
            string entries = string.Join(", ", loaded.Source.Entries.Select(entry => entry.Name));
            return Refused(CudaResult.NotFound, $"the module has the entries {entries}");
        }
        function = Add(new EmulatedFunction(loaded, name));
        return CudaResult.Success;
    }

    /// <inheritdoc/>
    public CudaResult ModuleGetGlobal(out ulong address, out nuint bytes, nint module, string name)
    {
        (address, bytes) = (0, 0);
        if (!TryGet(module, out EmulatedModule? loaded)) return CudaResult.InvalidHandle;
        if (!loaded.TryGetVariable(name, out address, out long size)) return CudaResult.NotFound;
        bytes = (nuint)size;
        return CudaResult.Success;
    }

    /// <inheritdoc/>
    public CudaResult FuncGetAttribute(out int value, FunctionAttribute attribute, nint function)
    {
        value = 0;
        if (!TryGet(function, out EmulatedFunction? found)) return CudaResult.InvalidHandle;
        (int registers, int shared, int local) = found.Module.Resources(found.Entry);
        int limit = found.Module.Source.FindEntry(found.Entry)!.MaxThreads;
        value = attribute switch
        {
            FunctionAttribute.MaxThreadsPerBlock => limit > 0 ? limit : 1024,
            FunctionAttribute.SharedBytes => shared,
            FunctionAttribute.LocalBytes => local,
            FunctionAttribute.Registers => registers,
            FunctionAttribute.PtxVersion => found.Module.Source.Version,
            FunctionAttribute.BinaryVersion => 90,
            FunctionAttribute.MaxDynamicSharedBytes => found.DynamicShared,
            _ => 0,
        };
        return CudaResult.Success;
    }

    /// <inheritdoc/>
    public CudaResult FuncSetAttribute(nint function, FunctionAttribute attribute, int value)
    {
        if (!TryGet(function, out EmulatedFunction? found)) return CudaResult.InvalidHandle;
        if (attribute != FunctionAttribute.MaxDynamicSharedBytes) return CudaResult.Success;
        if (value > Emulator.MaxSharedBytes - found.Module.Resources(found.Entry).SharedBytes)
            return Refused(
                CudaResult.InvalidValue, $"a block has at most {Emulator.MaxSharedBytes} B of shared memory");
        found.DynamicShared = value;
        return CudaResult.Success;
    }

    /// <inheritdoc/>
    public CudaResult OccupancyMaxActiveBlocksPerMultiprocessor(
        out int blocks, nint function, int blockThreads, nuint dynamicShared)
    {
        blocks = 0;
        if (!TryGet(function, out EmulatedFunction? found)) return CudaResult.InvalidHandle;
        (int registers, int shared, _) = found.Module.Resources(found.Entry);
        double occupancy = Emulator.TheoreticalOccupancy(90, blockThreads, registers, shared + (int)dynamicShared);
        blocks = (int)Math.Round(occupancy * 64 / Math.Max(1, (blockThreads + 31) / 32));
        return CudaResult.Success;
    }

    /// <inheritdoc/>
    public CudaResult LaunchKernel(nint function, in LaunchShape shape, nint stream, void* packed, nuint packedBytes)
    {
        if (!TryGet(function, out EmulatedFunction? found)) return CudaResult.InvalidHandle;
        if (shape.SharedBytes > found.DynamicShared)
        {
            return Refused(
                CudaResult.InvalidValue,
                $"{found.Entry} may use {found.DynamicShared} B of dynamic shared memory until more is asked for");
        }
        byte[] parameters = new ReadOnlySpan<byte>(packed, (int)packedBytes).ToArray();
        LaunchShape copy = shape;
        return Queue(stream, found.Entry, () => Run(found, copy, parameters));
    }

    private CudaResult Run(EmulatedFunction function, in LaunchShape shape, byte[] parameters)
    {
        LaunchReport report = Emulator.Launch(
            function.Module, function.Entry, shape.Grid, shape.Block, (int)shape.SharedBytes, parameters,
            shape.HasCluster ? shape.Cluster : null, Trace);
        Launched?.Invoke(report);
        if (report.Fault is not { } fault) return CudaResult.Success;
        LastFault = fault.ToString();
        sticky = fault.Kind switch
        {
            FaultKind.OutOfBounds => CudaResult.IllegalAddress,
            FaultKind.Misaligned => CudaResult.MisalignedAddress,
            FaultKind.InstructionBudget or FaultKind.Deadlock => CudaResult.LaunchTimeout,
            _ => CudaResult.LaunchFailed,
        };
        return sticky;
    }

    private static void WriteLog(
        JitOption buffer, JitOption size, string text, ReadOnlySpan<JitOption> options, Span<nint> values)
    {
        int at = options.IndexOf(buffer), room = options.IndexOf(size);
        if (at < 0 || room < 0) return;
        byte[] bytes = Encoding.UTF8.GetBytes(text);
        int length = (int)Math.Min(bytes.Length, values[room] - 1);
        bytes.AsSpan(0, length).CopyTo(new Span<byte>((void*)values[at], length));
        ((byte*)values[at])[length] = 0;
        values[room] = length;
    }

    private sealed class EmulatedFunction(EmulatedModule module, string entry)
    {
        public EmulatedModule Module { get; } = module;
        public string Entry { get; } = entry;
        public int DynamicShared { get; set; } = DefaultShared;
    }
}
