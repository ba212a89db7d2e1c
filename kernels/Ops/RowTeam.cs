using CudaLora.Kernels.Driver;

namespace CudaLora.Kernels.Ops;

/// <summary>
/// Launch shape of the kernels that give each row a team of threads: about two 16-byte vectors a thread, one warp to
/// 32, and eight one-warp rows to a block.
/// </summary>
public static class RowTeam
{
    private const int Warp = 32;
    private const int MostWarps = 32;
    private const int NarrowRows = 8;

    // Rows kept in shared memory up to this; two vectors a thread leave room for all threads of a multiprocessor.
    private const int MostCache = 64 * 1024;

    /// <summary>The shape for rows of <paramref name="cols"/> elements.</summary>
    /// <param name="rows">Number of rows.</param>
    /// <param name="cols">Elements of a row.</param>
    /// <param name="bf16">Two bytes an element, else four.</param>
    /// <param name="caches">Rows that a team keeps in shared memory between its passes.</param>
    public static LaunchShape Shape(int rows, int cols, bool bf16, int caches)
    {
        int lanes = bf16 ? 8 : 4;
        int warps = Math.Clamp((cols / lanes + 2 * Warp - 1) / (2 * Warp), 1, MostWarps);
        int teams = warps == 1 ? NarrowRows : 1;
        long cache = (long)teams * caches * (cols / lanes) * 16;
        return new LaunchShape(
            (int)(((long)rows + teams - 1) / teams), new Dim3((uint)(Warp * warps), (uint)teams),
            cache <= MostCache ? (uint)cache : 0);
    }
}
