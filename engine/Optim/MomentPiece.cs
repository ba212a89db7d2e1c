namespace CudaLora.Engine;

/// <summary>Values [First, First + Count) of a parameter, whose moments an update finds at these addresses.</summary>
internal sealed record MomentPiece(
    int Parameter, long First, long Count, bool EightBit, ulong M, ulong MScales, ulong V, ulong VScales)
{
    /// <summary>A piece whose <paramref name="parts"/> are at these addresses, in the order of the moments'.</summary>
    public static MomentPiece Of(int parameter, long first, long count, ReadOnlySpan<ulong> parts) =>
        parts is [var m, var mScales, var v, var vScales]
            ? new(parameter, first, count, true, m, mScales, v, vScales)
            : new(parameter, first, count, false, parts[0], 0, parts[1], 0);
}
