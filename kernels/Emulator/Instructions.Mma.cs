using System.Runtime.CompilerServices;
using CudaLora.Kernels.Ptx;

namespace CudaLora.Kernels.Emulator;

/// <summary>
/// mma.sync. Fragments, g = lane / 4, t = lane % 4, for 16-bit inputs: A registers hold (g, 2t..), (g+8, 2t..), (g,
/// 2t+8..),
/// (g+8, 2t+8..); B (2t.., g), (2t+8.., g); C (g, 2t), (g, 2t+1), (g+8, 2t), (g+8, 2t+1). Wider or narrower inputs put
/// fewer or more elements into the same 32-bit places.
/// </summary>
internal static unsafe partial class Instructions
{
    private static void AddMma(Dictionary<string, Action<InstructionBuilder>> table) => table["mma"] = DecodeMma;

    private static void DecodeMma(InstructionBuilder b)
    {
        b.NeedTarget(80);
        b.Need("sync");
        b.Need("aligned");
        int shape = b.TakeOneOf("m16n8k4", "m16n8k8", "m16n8k16", "m16n8k32");
        if (shape < 0) throw b.Unsupported("expected .m16n8k4, .m16n8k8, .m16n8k16 or .m16n8k32");
        b.Need("row");
        b.Need("col");
        b.Take("satfinite");
        PtxType d = b.TakeType(), a = b.TakeType(), other = b.TakeType(), c = b.TakeType();
        int k = 4 << shape;
        int bits = a switch
        {
            PtxType.TF32 => 32,
            PtxType.F16 or PtxType.BF16 => 16,
            PtxType.S8 or PtxType.U8 => 8,
            _ =>
            0
        };
        bool integer = bits == 8;
        bool types = bits != 0 && d == c
            && (integer ? d == PtxType.S32 && other is PtxType.S8 or PtxType.U8 : a == other)
            && (integer || d == PtxType.F32 || (d == PtxType.F16 && a == PtxType.F16));
        if (!types || k * bits is not (128 or 256)) throw b.Unsupported("unsupported combination of shape and types");
        b.NeedOperands(4);
        Instruction i = b.Result;
        int half = k * bits / 128;
        int accumulators = d == PtxType.F16 ? 2 : 4;
        PtxType element = d == PtxType.F16 ? PtxType.B32 : d;
        i.Rows2 = b.Vector(1, 2 * half, PtxType.B32, destination: false);
        i.Rows3 = b.Vector(2, half, PtxType.B32, destination: false);
        int[] from = b.Vector(3, accumulators, element, destination: false);
        i.Rows = [.. b.Vector(0, accumulators, element, destination: true), .. from];
        i.Count = k;
        i.Size = bits;
        i.Signed = d == PtxType.F16;
        i.Extra = new MmaTypes(a, other, integer);
        i.Run = &Mma;
    }

    private sealed record MmaTypes(PtxType A, PtxType B, bool Integer);

    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    private static void Mma(Warp w, Instruction i)
    {
        w.RequireConverged();
        var types = (MmaTypes)i.Extra!;
        int k = i.Count;
        float* a = stackalloc float[16 * 32];
        float* b = stackalloc float[32 * 8];
        float* acc = stackalloc float[16 * 8];
        GatherA(w, i.Rows2, a, k, i.Size, types.A);
        int perWord = 32 / i.Size, words = 4;
        for (int r = 0; r < i.Rows3.Length; r++)
        {
            uint* row = (uint*)(w.Regs + i.Rows3[r]);
            for (int lane = 0; lane < 32; lane++)
            {
                int g = lane >> 2, t = lane & 3;
                for (int e = 0; e < perWord; e++)
                    b[((((r * words) + t) * perWord) + e) * 8 + g] = TensorCore.Element(row[lane], e, types.B);
            }
        }
        w.CurrentCounters.TensorFlops += 2 * 16 * 8 * k;
        if (types.Integer)
        {
            MultiplyIntegers(w, i, a, b, k);
            return;
        }
        int count = i.Rows.Length / 2;
        for (int lane = 0; lane < 32; lane++)
        {
            int g = lane >> 2, t = lane & 3;
            for (int r = 0; r < count; r++)
            {
                uint bits = ((uint*)(w.Regs + i.Rows[count + r]))[lane];
                if (i.Signed)
                {
                    acc[((g + (8 * r)) * 8) + (2 * t)] = Floats.F16(bits & 0xFFFF);
                    acc[((g + (8 * r)) * 8) + (2 * t) + 1] = Floats.F16(bits >> 16);
                }
                else
                {
                    acc[((g + (r >> 1 << 3)) * 8) + (2 * t) + (r & 1)] = Floats.F32(bits);
                }
            }
        }
        Launch launch = w.Cluster.Launch;
        TensorCore.Multiply(acc, a, b, k, 8, types.A, launch.Options.ExactTensorCores,
            launch.Kernel.Source.Module.TargetNumber);
        for (int lane = 0; lane < 32; lane++)
        {
            int g = lane >> 2, t = lane & 3;
            for (int r = 0; r < count; r++)
            {
                ((uint*)(w.Regs + i.Rows[r]))[lane] = i.Signed
                    ? Floats.ToF16(acc[((g + (8 * r)) * 8) + (2 * t)])
                        | (Floats.ToF16(acc[((g + (8 * r)) * 8) + (2 * t) + 1]) << 16)
                    : Floats.Bits(acc[((g + (r >> 1 << 3)) * 8) + (2 * t) + (r & 1)]);
            }
        }
    }

    /// <summary>A (16, k) from its fragment registers.</summary>
    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    public static void GatherA(Warp w, int[] rows, float* a, int k, int bits, PtxType type)
    {
        int perWord = 32 / bits;
        for (int r = 0; r < rows.Length; r++)
        {
            uint* row = (uint*)(w.Regs + rows[r]);
            for (int lane = 0; lane < 32; lane++)
            {
                int m = (lane >> 2) + (8 * (r & 1)), column = ((r >> 1) * 4 + (lane & 3)) * perWord;
                for (int e = 0; e < perWord; e++) a[(m * k) + column + e] = TensorCore.Element(row[lane], e, type);
            }
        }
    }

    private static void MultiplyIntegers(Warp w, Instruction i, float* a, float* b, int k)
    {
        for (int lane = 0; lane < 32; lane++)
        {
            int g = lane >> 2, t = lane & 3;
            for (int r = 0; r < 4; r++)
            {
                int m = g + (r >> 1 << 3), n = (2 * t) + (r & 1);
                long sum = (int)((uint*)(w.Regs + i.Rows[4 + r]))[lane];
                for (int p = 0; p < k; p++) sum += (long)a[(m * k) + p] * (long)b[(p * 8) + n];
                bool saturate = i.Source.Has("satfinite");
                ((uint*)(w.Regs + i.Rows[r]))[lane] = saturate ? (uint)(int)Math.Clamp(sum, int.MinValue, int.MaxValue)
                    : (uint)sum;
            }
        }
    }
}
