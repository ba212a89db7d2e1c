using System.Numerics;
using System.Runtime.InteropServices;
using CudaLora.Kernels.Driver;
using CudaLora.Kernels.Runtime;

namespace CudaLora.Kernels.Ops;

/// <summary>
/// Chooses a token per row of logits, f32 or bf16, on the device: the likeliest, or a draw with temperature, top-k and
/// top-p. A draw is a function of (seed, row, step) alone, the same as the host's.
/// </summary>
public static class Sampling
{
    private const int Block = 1024;

    /// <summary>Largest vocabulary a draw can take.</summary>
    public const int MostTokens = 1 << 20;

    /// <summary>Bytes of a row's notes.</summary>
    public const int NoteBytes = 32;

    /// <summary>logits (rows, vocabulary), ids (rows).</summary>
    [StructLayout(LayoutKind.Sequential, Pack = 4)]
    public readonly record struct ArgmaxArgs(ulong Logits, DevicePointer<int> Ids, int Vocabulary);

    /// <summary>logits (rows, vocabulary), ids (rows), step (1). Temperature is above 0.</summary>
    [StructLayout(LayoutKind.Sequential, Pack = 4)]
    public readonly record struct AllArgs(
        ulong Logits, DevicePointer<int> Ids, DevicePointer<int> Step, ulong Seed, double Temperature, int Vocabulary,
        int FirstRow);

    /// <summary>logits (rows, vocabulary), keys (rows, capacity), notes (rows) of 32 bytes, 16-byte aligned.</summary>
    [StructLayout(LayoutKind.Sequential, Pack = 4)]
    public readonly record struct CandidatesArgs(
        ulong Logits, DevicePointer<ulong> Keys, DevicePointer<byte> Notes, double Temperature, double TopP,
        int Vocabulary, int TopK, int Capacity);

    /// <summary>The same, with ids (rows) and step (1); after <see cref="Candidates"/>.</summary>
    [StructLayout(LayoutKind.Sequential, Pack = 4)]
    public readonly record struct PickArgs(
        ulong Logits, DevicePointer<int> Ids, DevicePointer<ulong> Keys, DevicePointer<byte> Notes,
        DevicePointer<int> Step, ulong Seed, double Temperature, double TopP, int Vocabulary, int FirstRow, int TopK,
        int Capacity);

    /// <summary>A block per row.</summary>
    public static LaunchShape Shape(int rows) => new(rows, Block);

    /// <summary>Keys of a row: a power of two, not below the vocabulary.</summary>
    public static int Capacity(int vocabulary) => (int)BitOperations.RoundUpToPowerOf2((uint)vocabulary);

    /// <summary>Queues the choice of the likeliest token, the lowest id of equals.</summary>
    public static void Argmax(CudaStream stream, int rows, in ArgmaxArgs args, bool bf16) =>
        stream.Context.Modules.Kernel<ArgmaxArgs>("Argmax", bf16 ? "argmax_bf16" : "argmax_f32")
            .Launch(stream, Shape(rows), args);

    /// <summary>Queues a draw among all tokens.</summary>
    public static void All(CudaStream stream, int rows, in AllArgs args, bool bf16)
    {
        Kernel<AllArgs> kernel = bf16
            ? stream.Context.Modules.Kernel<AllArgs>("SampleAllBf16", "sample_all_bf16")
            : stream.Context.Modules.Kernel<AllArgs>("SampleAll", "sample_all_f32");
        kernel.Launch(stream, Shape(rows), args);
    }

    /// <summary>Queues the search for the tokens that top-k and top-p can keep.</summary>
    public static void Candidates(CudaStream stream, int rows, in CandidatesArgs args, bool bf16)
    {
        Kernel<CandidatesArgs> kernel = bf16
            ? stream.Context.Modules.Kernel<CandidatesArgs>("SampleCandidatesBf16", "sample_candidates_bf16")
            : stream.Context.Modules.Kernel<CandidatesArgs>("SampleCandidates", "sample_candidates_f32");
        kernel.Launch(stream, Shape(rows), args);
    }

    /// <summary>Queues a draw among them.</summary>
    public static void Pick(CudaStream stream, int rows, in PickArgs args, bool bf16)
    {
        Kernel<PickArgs> kernel = bf16
            ? stream.Context.Modules.Kernel<PickArgs>("SamplePickBf16", "sample_pick_bf16")
            : stream.Context.Modules.Kernel<PickArgs>("SamplePick", "sample_pick_f32");
        kernel.Launch(stream, Shape(rows), args);
    }
}
