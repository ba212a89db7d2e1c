using System.Runtime.Intrinsics;

namespace CudaLora.Engine;

/// <summary>Conversions that files need and no kernel offers.</summary>
internal static unsafe class FloatConvert
{
    /// <summary>Double to single, rounded to nearest. The pointers need no alignment.</summary>
    internal static void F64ToF32(double* source, float* destination, long count)
    {
        long i = 0;
        for (; i <= count - Vector256<float>.Count; i += Vector256<float>.Count)
            Vector256.Store(
                Vector256.Narrow(Vector256.Load(source + i), Vector256.Load(source + i + 4)), destination + i);
        for (; i < count; i++) destination[i] = (float)source[i];
    }
}
