using System.Runtime.CompilerServices;
using CudaLora.Kernels.Driver;

namespace CudaLora.Kernels.Runtime;

/// <summary>
/// One PTX entry and the struct that is its parameter list, byte for byte. A launch hands the struct over as one block
/// and allocates nothing.
/// </summary>
/// <typeparam name="TArgs">
/// Sequential layout, <c>Pack = 4</c>, in the order of the entry's .param list, with every 8-byte member at a multiple
/// of 8.
/// </typeparam>
public sealed unsafe class Kernel<TArgs> where TArgs : unmanaged
{
    // What a block gets without asking for more.
    private const uint DefaultShared = 48 * 1024;

    private readonly CudaContext context;
    private uint grantedShared = DefaultShared;

    internal Kernel(CudaContext context, CudaFunction function) => (this.context, Function) = (context, function);

    /// <summary>The function behind it: name, registers, shared memory.</summary>
    public CudaFunction Function { get; }

    /// <summary>Queues one launch.</summary>
    /// <exception cref="CudaException">The driver refused; the message names the kernel and the shape.</exception>
    public void Launch(CudaStream stream, in LaunchShape shape, in TArgs args)
    {
        if (shape.SharedBytes > grantedShared) Grant(shape.SharedBytes);
        if (context.Timer is not null) Time(stream, shape, args);
        else Queue(stream, shape, args);
    }

    private void Time(CudaStream stream, LaunchShape shape, TArgs args) =>
        context.Timer!.Measure(Function.Name, () => Queue(stream, shape, args));

    private void Queue(CudaStream stream, in LaunchShape shape, in TArgs args)
    {
        ICudaDriver driver = context.Driver;
        fixed (TArgs* packed = &args)
        {
            CudaResult result =
                driver.LaunchKernel(Function.Handle, shape, stream.Handle, packed, (nuint)Unsafe.SizeOf<TArgs>());
            if (result != CudaResult.Success) Throw("cuLaunchKernel", result, shape);
        }
        if (!context.SynchronizeAfterLaunch) return;
        CudaResult outcome = driver.StreamSynchronize(stream.Handle);
        if (outcome != CudaResult.Success) Throw("cuStreamSynchronize", outcome, shape);
    }

    /// <summary>Blocks of <paramref name="shape"/> that fit on one multiprocessor at a time.</summary>
    public int BlocksPerMultiprocessor(in LaunchShape shape)
    {
        if (shape.SharedBytes > grantedShared) Grant(shape.SharedBytes);
        context.Check(
            context.Driver.OccupancyMaxActiveBlocksPerMultiprocessor(
                out int blocks, Function.Handle, (int)shape.Block.Count, shape.SharedBytes),
            "cuOccupancyMaxActiveBlocksPerMultiprocessor", Function.Name);
        return blocks;
    }

    private void Grant(uint bytes)
    {
        context.Check(
            context.Driver.FuncSetAttribute(Function.Handle, FunctionAttribute.MaxDynamicSharedBytes, (int)bytes),
            "cuFuncSetAttribute", $"kernel {Function.Name}, {bytes} B of dynamic shared memory");
        grantedShared = bytes;
    }

    private void Throw(string call, CudaResult result, in LaunchShape shape)
    {
        string? why = context.Driver.LastFault ?? context.Properties.Refuses(shape);
        throw new CudaException(call, result, why is null ? Function.Name : $"{Function.Name}: {why}", shape);
    }
}
