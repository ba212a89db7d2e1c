using CudaLora.Kernels.Driver;

namespace CudaLora.Kernels.Ops;

/// <summary>
/// How a kernel over n elements in a row is launched: a thread per 16-byte vector, then a thread per element that no
/// vector covers. Where an address is not a multiple of 16 there are no vectors.
/// </summary>
internal readonly record struct Pointwise(int Vectors, LaunchShape Shape)
{
    public const int Block = 256;

    /// <summary><paramref name="addresses"/> is all addresses or-ed together.</summary>
    public static Pointwise Of(long n, int perVector, ulong addresses)
    {
        long vectors = addresses % 16 == 0 ? n / perVector : 0;
        return new(checked((int)vectors), Grid(vectors + n - vectors * perVector));
    }

    /// <summary>One thread per item.</summary>
    public static LaunchShape Grid(long items) => new(checked((int)((items + Block - 1) / Block)), Block);

    /// <summary>Elements of 16 bytes.</summary>
    public static int PerVector(bool bf16) => bf16 ? 8 : 4;

    public static int Flag(bool value) => value ? 1 : 0;
}
