using System.Runtime.InteropServices;
using CudaLora.Kernels.Driver;
using CudaLora.Kernels.Runtime;

namespace CudaLora.Kernels.Ops;

/// <summary>
/// Nf4Gemm.ptx and Nf4GemmNn.ptx: products with a 4-bit matrix that is decoded in registers, and with its adapter, for
/// some tens of tokens: y = x W0ᵀ + s (scale B)ᵀ + bias, and its gradient dx = dy W0 + ds A.
/// </summary>
public static class Nf4Gemm
{
    private const int Block = 256, TileTokens = 64, TileColumns = 128, Step = 64;
    // Blocks that keep a large device busy, and the shortest sum worth a part of its own; constants, so that the parts,
    // and with them the bits, depend on the shape alone.
    private const int WantedBlocks = 256, ShortestPart = 512;

    /// <summary>
    /// Codes to Map as in <see cref="Nf4Dequantize.Args"/>. Forward: x (tokens, in), s (tokens, ranks), y (tokens, out)
    /// bf16, u = B (out, ranks) f32, bias (out) f32 or 0. Backward: x = dy (tokens, out), s = ds (tokens, ranks),
    /// y = dx (tokens, in) bf16, u = A (ranks, in) f32, bias 0. Parts, or 0: f32 sums of each part in the place of y.
    /// Ranks 0 leaves the adapter out. PerPart a multiple of 64.
    /// </summary>
    [StructLayout(LayoutKind.Sequential, Pack = 4)]
    public readonly record struct Args(
        ulong Codes, ulong Codebook, ulong AbsMax, ulong Codes8, ulong Groups, ulong Map, ulong X, ulong S, ulong U,
        ulong Bias, ulong Y, ulong Parts, int Tokens, int In, int Out, int Ranks, int LdX, int LdS, int LdY,
        float Scale, float Offset, int BlockShift, int GroupShift, int PerPart, int Accumulate);

    /// <summary>How the sum is shared out among blocks: so many parts of so many elements.</summary>
    public readonly record struct Division(int Parts, int PerPart);

    /// <summary>
    /// The parts of a product with <paramref name="columns"/> columns and sums of <paramref name="depth"/> terms.
    /// </summary>
    public static Division Divide(int tokens, int columns, int depth)
    {
        long tiles = Tiles(tokens, TileTokens) * (long)Tiles(columns, TileColumns);
        int wanted = (int)Math.Clamp(WantedBlocks / tiles, 1, Math.Max(1, depth / ShortestPart));
        int perPart = Tiles(Tiles(depth, wanted), Step) * Step;
        return new Division(Tiles(depth, perPart), perPart);
    }

    /// <summary>A block per 128 columns, 64 tokens and part.</summary>
    public static LaunchShape Shape(int tokens, int columns, int parts) => new(
        new Dim3((uint)Tiles(columns, TileColumns), (uint)Tiles(tokens, TileTokens), (uint)parts), Block);

    /// <summary>Queues y, or its parts.</summary>
    public static void Forward(CudaStream stream, int parts, in Args args)
    {
        if (args.Out == 0 || args.Tokens == 0 || args.In == 0) return;
        stream.Context.Modules.Kernel<Args>("Nf4Gemm", "nf4_gemm_nt_bf16")
            .Launch(stream, Shape(args.Tokens, args.Out, parts), args);
    }

    /// <summary>Queues dx, or its parts.</summary>
    public static void Backward(CudaStream stream, int parts, in Args args)
    {
        if (args.Out == 0 || args.Tokens == 0 || args.In == 0) return;
        stream.Context.Modules.Kernel<Args>("Nf4GemmNn", "nf4_gemm_nn_bf16")
            .Launch(stream, Shape(args.Tokens, args.In, parts), args);
    }

    private static int Tiles(int extent, int tile) => (extent + tile - 1) / tile;
}
