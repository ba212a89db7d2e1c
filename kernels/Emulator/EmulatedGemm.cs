using System.Runtime.InteropServices;
using CudaLora.Kernels.Blas;
using CudaLora.Kernels.Driver;
using CudaLora.Kernels.Runtime;
using CudaLora.Kernels.Simd;

namespace CudaLora.Kernels.Emulator;

/// <summary>
/// What cuBLAS is on a GPU: products of device matrices, here by the CPU's SIMD GEMM, in stream order.
/// </summary>
internal sealed unsafe class EmulatedGemm(EmulatedDriver driver) : IGemm
{
    public string Name => "CPU GEMM on emulated memory";

    public void Run(CudaStream stream, in GemmShape shape, ulong a, ulong b, ulong c, float alpha = 1, float beta = 0)
    {
        ArgumentNullException.ThrowIfNull(stream);
        GemmChecks.Check(shape);
        GemmShape s = shape;
        stream.Context.Check(
            driver.Queue(stream.Handle, "gemm", () => Compute(s, a, b, c, alpha, beta)), "gemm", s.ToString());
    }

    public void Dispose()
    {
    }

    private CudaResult Compute(in GemmShape s, ulong a, ulong b, ulong c, float alpha, float beta)
    {
        int rowsA = s.TransA ? s.K : s.M, colsA = s.TransA ? s.M : s.K;
        int rowsB = s.TransB ? s.N : s.K, colsB = s.TransB ? s.K : s.N;
        for (int i = 0; i < s.Batch; i++)
        {
            float* left = Read(s.InputType, a, i * s.StrideA, rowsA, colsA, s.Lda);
            float* right = Read(s.InputType, b, i * s.StrideB, rowsB, colsB, s.Ldb);
            float* result = beta == 0
                ? (float*)NativeMemory.Alloc((nuint)s.M * (nuint)s.N, sizeof(float))
                : Read(s.OutputType, c, i * s.StrideC, s.M, s.N, s.Ldc);
            try
            {
                Gemm.Run(
                    s.TransA, s.TransB, s.M, s.N, s.K, alpha, left, colsA, right, colsB, beta, result, s.N);
                Write(s.OutputType, c, i * s.StrideC, s.M, s.N, s.Ldc, result);
            }
            finally
            {
                NativeMemory.Free(left);
                NativeMemory.Free(right);
                NativeMemory.Free(result);
            }
        }
        return CudaResult.Success;
    }

    // A dense float copy; reading row by row leaves what lies between the rows alone.
    private float* Read(GemmType type, ulong address, long offset, int rows, int cols, int pitch)
    {
        int size = type == GemmType.F32 ? 4 : 2;
        var values = (float*)NativeMemory.Alloc((nuint)rows * (nuint)cols, sizeof(float));
        var buffer = new byte[cols * size];
        for (int r = 0; r < rows; r++)
        {
            driver.Emulator.Read(address + (ulong)((offset + (long)r * pitch) * size), buffer);
            fixed (byte* from = buffer) Widen(type, from, values + (long)r * cols, cols);
        }
        return values;
    }

    private void Write(GemmType type, ulong address, long offset, int rows, int cols, int pitch, float* values)
    {
        int size = type == GemmType.F32 ? 4 : 2;
        var buffer = new byte[cols * size];
        for (int r = 0; r < rows; r++)
        {
            fixed (byte* to = buffer) Narrow(type, values + (long)r * cols, to, cols);
            driver.Emulator.Write(address + (ulong)((offset + (long)r * pitch) * size), buffer);
        }
    }

    private static void Widen(GemmType type, byte* from, float* to, int count)
    {
        if (type == GemmType.F32) new Span<float>(from, count).CopyTo(new Span<float>(to, count));
        else if (type == GemmType.BF16) CastKernel.FromBFloat16((ushort*)from, to, count);
        else CastKernel.FromHalf((ushort*)from, to, count);
    }

    private static void Narrow(GemmType type, float* from, byte* to, int count)
    {
        if (type == GemmType.F32) new Span<float>(from, count).CopyTo(new Span<float>(to, count));
        else if (type == GemmType.BF16) CastKernel.ToBFloat16(from, (ushort*)to, count);
        else CastKernel.ToHalf(from, (ushort*)to, count);
    }
}
