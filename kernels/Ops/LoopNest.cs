using System.Runtime.CompilerServices;
using CudaLora.Kernels.Simd;

namespace CudaLora.Kernels.Ops;

/// <summary>Loops over up to three operands, the outermost first: sizes, and strides in elements.</summary>
internal struct LoopNest
{
    public int Rank;
    public Values Sizes, StridesA, StridesB, StridesY;

    public void Set(int loop, long size, long strideA, long strideB, long strideY)
    {
        Sizes[loop] = size;
        StridesA[loop] = strideA;
        StridesB[loop] = strideB;
        StridesY[loop] = strideY;
    }

    [InlineArray(BroadcastPlan.MaxRank)]
    public struct Values
    {
        private long first;
    }
}
