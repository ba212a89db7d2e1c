using CudaLora.Kernels.Blas;
using CudaLora.Kernels.Runtime;
using ManagedCuda.BasicTypes;
using ManagedCuda.CudaBlas;

namespace CudaLora.Kernels.ManagedCuda;

/// <summary>
/// Matrix products by cuBLAS through the package ManagedCuda-CUBLAS, with f32 sums and cuBLAS's own choices.
/// </summary>
public sealed unsafe class ManagedCudaGemm : IGemm
{
    private readonly CudaBlasHandle handle;

    /// <summary>Opens cuBLAS in the current context.</summary>
    public ManagedCudaGemm() => Check(CudaBlasNativeMethods.cublasCreate_v2(ref handle), "cublasCreate");

    /// <inheritdoc/>
    public string Name => "cuBLAS through ManagedCuda";

    /// <summary>As the interface says. Row-major c = a b is asked for as the column-major c^T = b^T a^T.</summary>
    public void Run(CudaStream stream, in GemmShape shape, ulong a, ulong b, ulong c, float alpha = 1, float beta = 0)
    {
        ArgumentNullException.ThrowIfNull(stream);
        cudaDataType input = Type(shape.InputType);
        Check(
            CudaBlasNativeMethods.cublasSetStream_v2(handle, new CUstream { Pointer = stream.Handle }),
            "cublasSetStream");
        Check(
            CudaBlasNativeMethods.cublasGemmStridedBatchedEx(
                handle, shape.TransB ? Operation.Transpose : Operation.NonTranspose,
                shape.TransA ? Operation.Transpose : Operation.NonTranspose, shape.N, shape.M, shape.K,
                Pointer((ulong)&alpha), Pointer(b), input, shape.Ldb, shape.StrideB, Pointer(a), input, shape.Lda,
                shape.StrideA, Pointer((ulong)&beta), Pointer(c), Type(shape.OutputType), shape.Ldc, shape.StrideC,
                shape.Batch, ComputeType.Compute32F, GemmAlgo.Default),
            "cublasGemmStridedBatchedEx");
    }

    /// <inheritdoc/>
    public void Dispose() => _ = CudaBlasNativeMethods.cublasDestroy_v2(handle);

    private static CUdeviceptr Pointer(ulong address) => new() { Pointer = address };

    private static cudaDataType Type(GemmType type) => type switch
    {
        GemmType.F32 => cudaDataType.CUDA_R_32F,
        GemmType.F16 => cudaDataType.CUDA_R_16F,
        // ManagedCuda's names for bf16 have changed between releases; the number has not.
        _ => (cudaDataType)14,
    };

    private static void Check(CublasStatus status, string call)
    {
        if (status != CublasStatus.Success)
            throw new InvalidOperationException($"[{call}] must succeed, but returned {(int)status} {status}");
    }
}
