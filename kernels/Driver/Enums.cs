namespace CudaLora.Kernels.Driver;

/// <summary>CUdevice_attribute: the attributes in use.</summary>
public enum DeviceAttribute
{
    MaxThreadsPerBlock = 1,
    MaxBlockDimX = 2,
    MaxBlockDimY = 3,
    MaxBlockDimZ = 4,
    MaxGridDimX = 5,
    MaxGridDimY = 6,
    MaxGridDimZ = 7,
    MaxSharedMemoryPerBlock = 8,
    WarpSize = 10,
    ClockRateKilohertz = 13,
    MultiprocessorCount = 16,
    MemoryClockRateKilohertz = 36,
    GlobalMemoryBusWidthBits = 37,
    L2CacheBytes = 38,
    MaxThreadsPerMultiprocessor = 39,
    ComputeCapabilityMajor = 75,
    ComputeCapabilityMinor = 76,
    MaxSharedMemoryPerMultiprocessor = 81,
    MaxRegistersPerMultiprocessor = 82,
    MaxSharedMemoryPerBlockOptIn = 97,
    MemoryPoolsSupported = 115,
    ClusterLaunch = 120,
    TensorMapAccessSupported = 127,
}

/// <summary>CUfunction_attribute: the attributes in use.</summary>
public enum FunctionAttribute
{
    MaxThreadsPerBlock = 0,
    SharedBytes = 1,
    ConstantBytes = 2,
    LocalBytes = 3,
    Registers = 4,
    PtxVersion = 5,
    BinaryVersion = 6,
    MaxDynamicSharedBytes = 8,
    NonPortableClusterSizeAllowed = 14,
}

/// <summary>CUjit_option: the options in use. Values travel as pointer-sized integers.</summary>
public enum JitOption
{
    MaxRegisters = 0,
    InfoLogBuffer = 3,
    InfoLogBufferBytes = 4,
    ErrorLogBuffer = 5,
    ErrorLogBufferBytes = 6,
    OptimizationLevel = 7,
    LogVerbose = 12,
    GenerateLineInfo = 13,
}

/// <summary>CUmemPool_attribute: the 64-bit ones in use.</summary>
public enum MemPoolAttribute
{
    ReleaseThreshold = 4,
    ReservedCurrent = 5,
    UsedCurrent = 7,
    UsedHigh = 8,
}

/// <summary>CUtensorMapDataType: the element types in use.</summary>
public enum TensorMapType
{
    UInt8 = 0,
    Int32 = 3,
    Float16 = 6,
    Float32 = 7,
    BFloat16 = 9,
}

/// <summary>CUtensorMapSwizzle: how 16-byte units are permuted in shared memory.</summary>
public enum TensorMapSwizzle
{
    None = 0,
    Bytes32 = 1,
    Bytes64 = 2,
    Bytes128 = 3,
}

/// <summary>CUtensorMapL2promotion.</summary>
public enum TensorMapPromotion
{
    None = 0,
    Bytes64 = 1,
    Bytes128 = 2,
    Bytes256 = 3,
}

/// <summary>CUstreamCaptureMode.</summary>
public enum CaptureMode
{
    Global = 0,
    ThreadLocal = 1,
    Relaxed = 2,
}

/// <summary>CUgraphExecUpdateResult: why a graph could not take over the topology of another.</summary>
public enum GraphUpdateResult
{
    Success = 0,
    Error = 1,
    TopologyChanged = 2,
    NodeTypeChanged = 3,
    FunctionChanged = 4,
    ParametersChanged = 5,
    NotSupported = 6,
    UnsupportedFunctionChange = 7,
    AttributesChanged = 8,
}
