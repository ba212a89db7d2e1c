using System.Runtime.InteropServices;
using CudaLora.Kernels.Driver;
using CudaLora.Kernels.Runtime;

namespace CudaLora.Kernels.Ops;

/// <summary>
/// LoraDecode.ptx: a LoRA layer for 1 to 16 tokens, y = x W0ᵀ + scale (x Aᵀ) Bᵀ + bias in bf16 with f32 adapters. W0 is
/// read once; nothing else is large.
/// </summary>
public static class LoraDecode
{
    /// <summary>Most tokens of a launch.</summary>
    public const int MaxTokens = 16;

    /// <summary>x (tokens, in) bf16, a (ranks, in) f32, s (tokens, ranks) f32.</summary>
    [StructLayout(LayoutKind.Sequential, Pack = 4)]
    public readonly record struct DownArgs(ulong X, ulong A, ulong S, int In, int Ldx, int Ranks);

    /// <summary>
    /// x (tokens, in), w (out, in), y (tokens, out) bf16; s (tokens, ranks), b (out, ranks), bias (out) or 0, f32.
    /// Ranks 0 leaves the adapter out.
    /// </summary>
    [StructLayout(LayoutKind.Sequential, Pack = 4)]
    public readonly record struct UpArgs(
        ulong X, ulong W, ulong S, ulong B, ulong Bias, ulong Y, int Tokens, int In, int Out, int Ranks, int Ldx,
        int Ldw, int Ldy, float Scale);

    /// <summary>A block per rank and token.</summary>
    public static LaunchShape DownShape(int tokens, int ranks) => new(new Dim3((uint)ranks, (uint)tokens), 128);

    /// <summary>A block per 16 outputs.</summary>
    public static LaunchShape UpShape(int outputs) => new((outputs + 15) / 16, 256);

    /// <summary>Queues s = x Aᵀ.</summary>
    public static void Down(CudaStream stream, int tokens, in DownArgs args) =>
        stream.Context.Modules.Kernel<DownArgs>("LoraDecode", "lora_decode_down_bf16")
            .Launch(stream, DownShape(tokens, args.Ranks), args);

    /// <summary>Queues y, given s.</summary>
    public static void Up(CudaStream stream, in UpArgs args) =>
        stream.Context.Modules.Kernel<UpArgs>("LoraDecode", "lora_decode_up_bf16")
            .Launch(stream, UpShape(args.Out), args);
}
