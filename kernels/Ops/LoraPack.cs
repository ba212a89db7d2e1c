using System.Runtime.InteropServices;
using CudaLora.Kernels.Driver;
using CudaLora.Kernels.Runtime;

namespace CudaLora.Kernels.Ops;

/// <summary>
/// LoraPack.ptx: bf16 copies of an adapter, with its scale folded into B, and of matrices into buffers with wider rows.
/// </summary>
public static class LoraPack
{
    private const int Block = 256, PadColumns = 2048;

    /// <summary>
    /// a (ranks, in), b (out, ranks) f32; toA (ranks, in), toB (out, span) bf16: B from column Slot on, zeros beside.
    /// </summary>
    [StructLayout(LayoutKind.Sequential, Pack = 4)]
    public readonly record struct PackArgs(
        ulong A, ulong B, ulong ToA, ulong ToB, int In, int Out, int Ranks, int LdA, int LdB,
        int Slot, int Span, float Scale);

    /// <summary>from, to (rows, cols) bf16.</summary>
    [StructLayout(LayoutKind.Sequential, Pack = 4)]
    public readonly record struct PadArgs(ulong From, ulong To, int Cols, int LdFrom, int LdTo);

    /// <summary>A thread per element.</summary>
    public static LaunchShape PackShape(int inputs, int outputs, int ranks, int span) =>
        new((int)(((long)inputs * ranks + (long)outputs * span + Block - 1) / Block), Block);

    /// <summary>A block per row and 2048 columns.</summary>
    public static LaunchShape PadShape(int rows, int cols) =>
        new(rows * ((cols + PadColumns - 1) / PadColumns), Block);

    /// <summary>Queues toA = A, toB = scale B.</summary>
    public static void Pack(CudaStream stream, in PackArgs args) =>
        stream.Context.Modules.Kernel<PackArgs>("LoraPack", "lora_pack_bf16")
            .Launch(stream, PackShape(args.In, args.Out, args.Ranks, args.Span), args);

    /// <summary>Queues the copy of <paramref name="rows"/> rows.</summary>
    public static void Pad(CudaStream stream, int rows, in PadArgs args) =>
        stream.Context.Modules.Kernel<PadArgs>("LoraPack", "lora_pad_bf16")
            .Launch(stream, PadShape(rows, args.Cols), args);
}
