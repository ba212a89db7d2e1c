using System.Diagnostics.CodeAnalysis;
using System.Runtime.InteropServices;

namespace CudaLora.Kernels.Blas;

/// <summary>cublasLtMatmulAlgo_t: opaque, kept in files between runs.</summary>
[StructLayout(LayoutKind.Sequential, Size = 64)]
internal unsafe struct LtAlgorithm
{
    public fixed ulong Data[8];
}

/// <summary>cublasLtMatmulHeuristicResult_t.</summary>
[StructLayout(LayoutKind.Sequential, Size = 96)]
internal struct LtHeuristic
{
    public LtAlgorithm Algorithm;
    public nuint WorkspaceBytes;
    public int State;
    public float Waves;
}

/// <summary>The cuBLASLt functions in use: version 13, else 12.</summary>
internal sealed unsafe class CublasLt
{
    // cudaDataType_t, cublasComputeType_t and the attribute numbers of cublasLt.h.
    public const int R32F = 0, R16F = 2, R16BF = 14, Compute32F = 68;
    public const int DescTransA = 3, DescTransB = 4;
    public const int LayoutBatchCount = 5, LayoutBatchStride = 6;
    public const int PreferenceWorkspace = 1;

    private static readonly string[] Names = OperatingSystem.IsWindows()
        ? ["cublasLt64_13.dll", "cublasLt64_12.dll"]
        : ["libcublasLt.so.13", "libcublasLt.so.12"];

    public readonly delegate* unmanaged<nint*, int> Create;
    public readonly delegate* unmanaged<nint, int> Destroy;
    public readonly delegate* unmanaged<nint*, int, int, int> DescCreate;
    public readonly delegate* unmanaged<nint, int> DescDestroy;
    public readonly delegate* unmanaged<nint, int, void*, nuint, int> DescSet;
    public readonly delegate* unmanaged<nint*, int, ulong, ulong, long, int> LayoutCreate;
    public readonly delegate* unmanaged<nint, int> LayoutDestroy;
    public readonly delegate* unmanaged<nint, int, void*, nuint, int> LayoutSet;
    public readonly delegate* unmanaged<nint*, int> PreferenceCreate;
    public readonly delegate* unmanaged<nint, int> PreferenceDestroy;
    public readonly delegate* unmanaged<nint, int, void*, nuint, int> PreferenceSet;
    public readonly delegate* unmanaged<
        nint, nint, nint, nint, nint, nint, nint, int, LtHeuristic*, int*, int> Heuristic;
    public readonly delegate* unmanaged<
        nint, nint, void*, ulong, nint, ulong, nint, void*, ulong, nint, ulong, nint, LtAlgorithm*, ulong, nuint, nint,
        int> Matmul;
    private readonly delegate* unmanaged<nuint> getVersion;
    private string? missing;

    private CublasLt(nint library)
    {
        Create = (delegate* unmanaged<nint*, int>)Find(library, "cublasLtCreate");
        Destroy = (delegate* unmanaged<nint, int>)Find(library, "cublasLtDestroy");
        DescCreate = (delegate* unmanaged<nint*, int, int, int>)Find(library, "cublasLtMatmulDescCreate");
        DescDestroy = (delegate* unmanaged<nint, int>)Find(library, "cublasLtMatmulDescDestroy");
        DescSet = (delegate* unmanaged<nint, int, void*, nuint, int>)Find(library, "cublasLtMatmulDescSetAttribute");
        LayoutCreate =
            (delegate* unmanaged<nint*, int, ulong, ulong, long, int>)Find(library, "cublasLtMatrixLayoutCreate");
        LayoutDestroy = (delegate* unmanaged<nint, int>)Find(library, "cublasLtMatrixLayoutDestroy");
        LayoutSet =
            (delegate* unmanaged<nint, int, void*, nuint, int>)Find(library, "cublasLtMatrixLayoutSetAttribute");
        PreferenceCreate = (delegate* unmanaged<nint*, int>)Find(library, "cublasLtMatmulPreferenceCreate");
        PreferenceDestroy = (delegate* unmanaged<nint, int>)Find(library, "cublasLtMatmulPreferenceDestroy");
        PreferenceSet =
            (delegate* unmanaged<nint, int, void*, nuint, int>)Find(library, "cublasLtMatmulPreferenceSetAttribute");
        Heuristic =
            (delegate* unmanaged<nint, nint, nint, nint, nint, nint, nint, int, LtHeuristic*, int*, int>)Find(
                library, "cublasLtMatmulAlgoGetHeuristic");
        Matmul = (delegate* unmanaged<
            nint, nint, void*, ulong, nint, ulong, nint, void*, ulong, nint, ulong, nint, LtAlgorithm*, ulong, nuint,
            nint, int>)Find(library, "cublasLtMatmul");
        getVersion = (delegate* unmanaged<nuint>)Find(library, "cublasLtGetVersion");
    }

    /// <summary>Major * 10000 + minor * 100 + patch.</summary>
    public ulong Version => getVersion();

    /// <summary>The first of the names that loads and has every function; otherwise why there is none.</summary>
    public static bool TryLoad(
        IReadOnlyList<string>? names, [NotNullWhen(true)] out CublasLt? library, out string reason)
    {
        library = null;
        names ??= Names;
        reason = $"none of {string.Join(", ", names)} was found";
        foreach (string name in names)
        {
            if (!NativeLibrary.TryLoad(name, out nint handle)) continue;
            var candidate = new CublasLt(handle);
            if (candidate.missing is null)
            {
                library = candidate;
                reason = name;
                return true;
            }
            reason = $"{name} lacks {candidate.missing}";
        }
        return false;
    }

    private nint Find(nint library, string symbol)
    {
        if (NativeLibrary.TryGetExport(library, symbol, out nint address)) return address;
        missing ??= symbol;
        return 0;
    }
}
