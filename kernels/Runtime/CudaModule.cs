using System.Runtime.InteropServices;
using System.Text;
using CudaLora.Kernels.Driver;

namespace CudaLora.Kernels.Runtime;

/// <summary>PTX text (or a cubin) loaded into a context, with what the JIT compiler said about it.</summary>
public sealed unsafe class CudaModule : IDisposable
{
    private const int LogBytes = 64 * 1024;

    private readonly CudaContext context;
    private nint handle;

    private CudaModule(CudaContext context, string name, nint handle, string log) =>
        (this.context, Name, this.handle, Log) = (context, name, handle, log);

    /// <summary>What errors call it: usually the file name.</summary>
    public string Name { get; }

    /// <summary>
    /// The JIT compiler's words; <see cref="AssemblerLog.Parse"/> reads registers, spills and warnings from it.
    /// </summary>
    public string Log { get; }

    /// <summary>Loads PTX text.</summary>
    /// <exception cref="CudaException">The text does not compile; the message ends with the compiler's log.</exception>
    public static CudaModule Load(CudaContext context, string ptx, string name, int maxRegisters = 0)
    {
        ArgumentNullException.ThrowIfNull(context);
        ArgumentNullException.ThrowIfNull(ptx);
        return Load(context, Encoding.UTF8.GetBytes(ptx + '\0'), name, maxRegisters);
    }

    /// <summary>Loads an image: NUL-terminated PTX text, or a cubin.</summary>
    public static CudaModule Load(CudaContext context, ReadOnlySpan<byte> image, string name, int maxRegisters = 0)
    {
        ArgumentNullException.ThrowIfNull(context);
        var info = (byte*)NativeMemory.AllocZeroed(LogBytes);
        var error = (byte*)NativeMemory.AllocZeroed(LogBytes);
        try
        {
            ReadOnlySpan<JitOption> options =
            [
                JitOption.InfoLogBuffer, JitOption.InfoLogBufferBytes, JitOption.ErrorLogBuffer,
                JitOption.ErrorLogBufferBytes, JitOption.LogVerbose, JitOption.GenerateLineInfo, JitOption.MaxRegisters,
            ];
            Span<nint> values = [(nint)info, LogBytes - 1, (nint)error, LogBytes - 1, 1, 1, maxRegisters];
            int count = maxRegisters > 0 ? options.Length : options.Length - 1;
            CudaResult result =
                context.Driver.ModuleLoadDataEx(out nint handle, image, options[..count], values[..count]);
            if (result != CudaResult.Success)
            {
                string said = Marshal.PtrToStringUTF8((nint)error)!.Trim();
                throw new CudaException(
                    "cuModuleLoadDataEx", result, said.Length == 0 ? name : $"{name}: {said}");
            }
            return new CudaModule(context, name, handle, Marshal.PtrToStringUTF8((nint)info)!);
        }
        finally
        {
            NativeMemory.Free(info);
            NativeMemory.Free(error);
        }
    }

    /// <summary>
    /// The entry <paramref name="entry"/>, launched with <typeparamref name="TArgs"/> as its parameter block.
    /// </summary>
    public Kernel<TArgs> Kernel<TArgs>(string entry) where TArgs : unmanaged => new(context, Function(entry));

    /// <summary>The entry and its cost.</summary>
    /// <exception cref="CudaException">The module has no such entry.</exception>
    public CudaFunction Function(string entry)
    {
        ICudaDriver driver = context.Driver;
        context.Check(
            driver.ModuleGetFunction(out nint function, handle, entry), "cuModuleGetFunction",
            $"entry {entry} of {Name}");
        int Get(FunctionAttribute attribute)
        {
            context.Check(driver.FuncGetAttribute(out int value, attribute, function), "cuFuncGetAttribute", entry);
            return value;
        }
        return new CudaFunction(
            entry, function, Get(FunctionAttribute.Registers), Get(FunctionAttribute.SharedBytes),
            Get(FunctionAttribute.LocalBytes), Get(FunctionAttribute.MaxThreadsPerBlock));
    }

    /// <summary>Address and size in bytes of a .global or .const variable.</summary>
    public (ulong Address, ulong Bytes) Global(string variable)
    {
        context.Check(
            context.Driver.ModuleGetGlobal(out ulong address, out nuint bytes, handle, variable),
            "cuModuleGetGlobal", $"variable {variable} of {Name}");
        return (address, bytes);
    }

    /// <inheritdoc/>
    public void Dispose()
    {
        if (handle == 0) return;
        _ = context.Driver.ModuleUnload(handle);
        handle = 0;
    }
}
