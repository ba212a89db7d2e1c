using System.Runtime.Intrinsics;
using System.Runtime.Intrinsics.X86;

namespace CudaLora.Kernels.Emulator;

/// <summary>Shifts by a count per lane; counts below 32.</summary>
internal static class Shift
{
    public static Vector256<uint> Left(Vector256<uint> value, Vector256<uint> count)
    {
        if (Avx2.IsSupported) return Avx2.ShiftLeftLogicalVariable(value, count);
        Vector256<uint> result = default;
        for (int k = 0; k < 8; k++) result = result.WithElement(k, value[k] << (int)count[k]);
        return result;
    }

    public static Vector256<uint> Right(Vector256<uint> value, Vector256<uint> count)
    {
        if (Avx2.IsSupported) return Avx2.ShiftRightLogicalVariable(value, count);
        Vector256<uint> result = default;
        for (int k = 0; k < 8; k++) result = result.WithElement(k, value[k] >> (int)count[k]);
        return result;
    }

    public static Vector256<uint> RightSigned(Vector256<uint> value, Vector256<uint> count)
    {
        if (Avx2.IsSupported) return Avx2.ShiftRightArithmeticVariable(value.AsInt32(), count).AsUInt32();
        Vector256<uint> result = default;
        for (int k = 0; k < 8; k++) result = result.WithElement(k, (uint)((int)value[k] >> (int)count[k]));
        return result;
    }
}
