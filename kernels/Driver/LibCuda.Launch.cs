namespace CudaLora.Kernels.Driver;

// Launches with one packed parameter block, and tensor maps.
public sealed unsafe partial class LibCuda
{
    // CU_LAUNCH_PARAM_END, _BUFFER_POINTER and _BUFFER_SIZE.
    private const nint ParamEnd = 0, ParamBufferPointer = 1, ParamBufferSize = 2;

    /// <inheritdoc/>
    public CudaResult LaunchKernel(nint function, in LaunchShape shape, nint stream, void* packed, nuint packedBytes)
    {
        void** extra = stackalloc void*[5];
        extra[0] = (void*)ParamBufferPointer;
        extra[1] = packed;
        extra[2] = (void*)ParamBufferSize;
        extra[3] = &packedBytes;
        extra[4] = (void*)ParamEnd;
        if (packedBytes == 0) extra = null;
        (Dim3 grid, Dim3 block) = (shape.Grid, shape.Block);
        if (!shape.HasCluster && !shape.Programmatic)
        {
            return launchKernel(
                function, grid.X, grid.Y, grid.Z, block.X, block.Y, block.Z, shape.SharedBytes, stream, null, extra);
        }

        LaunchAttribute* attributes = stackalloc LaunchAttribute[2];
        uint count = 0;
        if (shape.HasCluster)
        {
            attributes[count++] = new LaunchAttribute
            {
                Id = LaunchAttribute.ClusterDimension,
                X = shape.Cluster.X,
                Y = shape.Cluster.Y,
                Z = shape.Cluster.Z,
            };
        }
        if (shape.Programmatic)
            attributes[count++] = new LaunchAttribute { Id = LaunchAttribute.ProgrammaticStreamSerialization, X = 1 };
        var config = new LaunchConfig
        {
            GridX = grid.X,
            GridY = grid.Y,
            GridZ = grid.Z,
            BlockX = block.X,
            BlockY = block.Y,
            BlockZ = block.Z,
            SharedBytes = shape.SharedBytes,
            Stream = stream,
            Attributes = attributes,
            AttributeCount = count,
        };
        return launchKernelEx(&config, function, null, extra);
    }

    /// <inheritdoc/>
    public CudaResult TensorMapEncodeTiled(
        out TensorMap map, in TensorMapSpec spec, ReadOnlySpan<ulong> dims, ReadOnlySpan<ulong> strides,
        ReadOnlySpan<uint> box, ReadOnlySpan<uint> elementStrides)
    {
        // The driver writes through a 64-byte aligned pointer.
        byte* raw = stackalloc byte[sizeof(TensorMap) + 64];
        var aligned = (TensorMap*)(((nint)raw + 63) & ~63);
        *aligned = default;
        fixed (ulong* dim = dims, stride = strides)
        fixed (uint* extent = box, step = elementStrides)
        {
            CudaResult result = tensorMapEncodeTiled(
                aligned, spec.Type, (uint)dims.Length, spec.Address, dim, stride, extent, step, 0, spec.Swizzle,
                spec.Promotion, 0);
            map = *aligned;
            return result;
        }
    }
}
