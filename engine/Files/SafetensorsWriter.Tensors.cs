namespace CudaLora.Engine;

public sealed partial class SafetensorsWriter
{
    /// <summary>Adds a tensor stored as F32, BF16 or F16; it must live until the save.</summary>
    /// <param name="name">The key.</param>
    /// <param name="tensor">F32 or BF16, on any device.</param>
    /// <param name="storeAs">Element type in the file.</param>
    /// <param name="transposed">Store a matrix with its axes exchanged.</param>
    public unsafe void Add(
        string name, Tensor tensor, SafetensorsDType storeAs = SafetensorsDType.F32, bool transposed = false)
    {
        Tensor.RequireFloat("safetensors", tensor);
        RequireFloat(storeAs);
        var dims = new long[tensor.Shape.Rank];
        for (var i = 0; i < dims.Length; i++)
            dims[i] = tensor.Shape[i];
        if (!transposed)
        {
            Add(name, storeAs, dims, stream => OnHost(
                tensor, values => WriteF32(stream, values.Pointer<float>(), values.Count, storeAs)));
            return;
        }
        Add(name, storeAs, [dims[1], dims[0]], stream => OnHost(tensor, values =>
        {
            var copy = Device.Cpu.Rent(values.ByteCount);
            try
            {
                SafetensorsParameters.Transpose(
                    values.Pointer<float>(), (float*)copy.Pointer, tensor.Shape[0], tensor.Shape[1]);
                WriteF32(stream, (float*)copy.Pointer, tensor.Count, storeAs);
            }
            finally
            {
                copy.Release();
            }
        }));
    }

    /// <summary>Adds an F32 or U8 tensor in its own type; it must live until the save.</summary>
    /// <param name="name">The key.</param>
    /// <param name="tensor">On any device.</param>
    /// <param name="shape">The shape in the file; the tensor's own if empty.</param>
    internal unsafe void AddAsItIs(string name, Tensor tensor, params ReadOnlySpan<long> shape)
    {
        const int Most = 1 << 30;
        long[] dims = shape.Length > 0
            ? shape.ToArray()
            : [.. Enumerable.Range(0, tensor.Shape.Rank).Select(i => (long)tensor.Shape[i])];
        Add(name, tensor.DType == DType.U8 ? SafetensorsDType.U8 : SafetensorsDType.F32, dims, stream =>
        {
            using var host = Tensor.Unscoped(tensor.Shape, tensor.DType, Device.Cpu);
            host.CopyFrom(tensor);
            for (long at = 0; at < host.ByteCount; at += Most)
                stream.Write(new ReadOnlySpan<byte>(host.Address + at, (int)Math.Min(Most, host.ByteCount - at)));
        });
    }

    // One tensor at a time is copied from its device.
    private static void OnHost(Tensor tensor, Action<Tensor> write)
    {
        var host = tensor.OnHost();
        try
        {
            write(host);
        }
        finally
        {
            if (host != tensor)
                host.Dispose();
        }
    }

    private static unsafe void WriteF32(Stream stream, float* values, long count, SafetensorsDType storeAs)
    {
        for (long i = 0; i < count; i += WholeSpan)
            WriteF32(stream, new ReadOnlySpan<float>(values + i, (int)Math.Min(WholeSpan, count - i)), storeAs);
    }
}
