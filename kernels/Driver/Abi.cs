using System.Runtime.CompilerServices;
using System.Runtime.InteropServices;

namespace CudaLora.Kernels.Driver;

/// <summary>CUtensorMap: 128 opaque bytes, 64-byte aligned as a kernel parameter. Encoded by the driver.</summary>
[InlineArray(16)]
public struct TensorMap
{
    private ulong word;
}

/// <summary>Everything cuTensorMapEncodeTiled takes for a tile of up to five dimensions, innermost first.</summary>
/// <param name="Type">Element type.</param>
/// <param name="Address">Global address, 16-byte aligned.</param>
/// <param name="Swizzle">Shared-memory permutation; the box's inner extent must fit in its span.</param>
/// <param name="Promotion">L2 fetch size.</param>
public readonly record struct TensorMapSpec(
    TensorMapType Type, ulong Address, TensorMapSwizzle Swizzle, TensorMapPromotion Promotion);

/// <summary>CUlaunchConfig.</summary>
[StructLayout(LayoutKind.Sequential)]
internal unsafe struct LaunchConfig
{
    public uint GridX, GridY, GridZ;
    public uint BlockX, BlockY, BlockZ;
    public uint SharedBytes;
    public nint Stream;
    public LaunchAttribute* Attributes;
    public uint AttributeCount;
}

/// <summary>CUlaunchAttribute with the two values in use: three cluster dimensions, or one flag.</summary>
[StructLayout(LayoutKind.Explicit, Size = 72)]
internal struct LaunchAttribute
{
    public const uint ClusterDimension = 4;
    public const uint ProgrammaticStreamSerialization = 6;

    [FieldOffset(0)] public uint Id;
    [FieldOffset(8)] public uint X;
    [FieldOffset(12)] public uint Y;
    [FieldOffset(16)] public uint Z;
}

/// <summary>CUgraphExecUpdateResultInfo.</summary>
[StructLayout(LayoutKind.Sequential)]
internal struct GraphUpdateInfo
{
    public GraphUpdateResult Result;
    public nint ErrorNode;
    public nint ErrorFromNode;
}
