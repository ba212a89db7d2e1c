using System.Runtime.InteropServices;
using CudaLora.Kernels.Driver;
using CudaLora.Kernels.Runtime;

namespace CudaLora.Kernels.Ops;

/// <summary>
/// Nf4Decode.ptx: a 4-bit layer with its adapter for 1 to 16 tokens, y = x W0ᵀ + scale s Bᵀ + bias in bf16. The codes
/// are read once; s = x Aᵀ comes from <see cref="LoraDecode.Down"/>.
/// </summary>
public static class Nf4Decode
{
    private const int Block = 256, Rows = 16;

    /// <summary>Most tokens of a launch.</summary>
    public const int MaxTokens = 16;

    /// <summary>
    /// Codes to Map as in <see cref="Nf4Dequantize.Args"/>; x (tokens, in), y (tokens, out) bf16; s (tokens, ranks),
    /// b (out, ranks), bias (out) or 0, f32. Ranks 0 leaves the adapter out.
    /// </summary>
    [StructLayout(LayoutKind.Sequential, Pack = 4)]
    public readonly record struct Args(
        ulong Codes, ulong Codebook, ulong AbsMax, ulong Codes8, ulong Groups, ulong Map, ulong X, ulong S, ulong B,
        ulong Bias, ulong Y, int Tokens, int In, int Out, int Ranks, int Ldx, int Ldy, float Scale, float Offset,
        int BlockShift, int GroupShift);

    /// <summary>A block per 16 outputs.</summary>
    public static LaunchShape Shape(int outputs) => new((outputs + Rows - 1) / Rows, Block);

    /// <summary>Queues y, given s.</summary>
    public static void Launch(CudaStream stream, in Args args)
    {
        if (args.Out == 0 || args.Tokens == 0) return;
        stream.Context.Modules.Kernel<Args>("Nf4Decode", "nf4_decode_bf16").Launch(stream, Shape(args.Out), args);
    }
}
