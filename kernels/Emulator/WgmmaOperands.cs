using System.Runtime.CompilerServices;
using System.Runtime.InteropServices;
using CudaLora.Kernels.Ptx;

namespace CudaLora.Kernels.Emulator;

/// <summary>
/// A shared-memory matrix descriptor. Bits 0-13 start / 16, 16-29 leading offset / 16, 32-45 stride offset / 16,
/// 49-51 base offset, 62-63 layout: 0 none, 1, 2, 3 swizzle of 128, 64, 32 bytes.
/// </summary>
internal readonly record struct MatrixDescriptor(ulong Bits)
{
    public uint Start => (uint)(Bits & 0x3FFF) << 4;

    public uint Leading => (uint)(Bits >> 16 & 0x3FFF) << 4;

    public uint Stride => (uint)(Bits >> 32 & 0x3FFF) << 4;

    public int BaseOffset => (int)(Bits >> 49) & 7;

    /// <summary>Mode of <see cref="Swizzle.Apply"/>.</summary>
    public int Mode => (int)(Bits >> 62) switch { 0 => 0, 1 => 3, 2 => 2, _ => 1 };

    /// <summary>
    /// Address of the 16-byte unit that holds element (<paramref name="row"/>, <paramref name="k"/>) of the operand,
    /// where row runs over M or N, and the byte inside it. <paramref name="size"/> is bytes per element.
    /// </summary>
    public uint Address(int row, int k, int size, bool rowMajorInMn)
    {
        uint span = 16u << Mode, address;
        if (!rowMajorInMn)
        {
            uint byteInRow = (uint)(k * size);
            address = Mode == 0
                ? Start + ((uint)(row >> 3) * Stride) + ((uint)(row & 7) * 16) + (byteInRow / 16 * Leading) + (
                    byteInRow & 15)
                : Start + ((uint)(row >> 3) * Stride) + ((uint)(row & 7) * span) + byteInRow;
        }
        else
        {
            uint byteInRow = (uint)(row * size);
            address = Mode == 0
                ? Start + (byteInRow / 16 * Stride) + ((uint)(k & 7) * 16) + ((uint)(k >> 3) * Leading) + (
                    byteInRow & 15)
                : Start + (byteInRow / span * Leading) + (byteInRow % span) + ((uint)(k & 7) * span) + (
                    (uint)(k >> 3) * Stride);
        }
        return Swizzle.Apply(address, Mode);
    }
}

/// <summary>The operands of one wgmma as a warp issued it.</summary>
/// <param name="DescriptorA">Descriptor of A; unused when A is in registers.</param>
/// <param name="DescriptorB">Descriptor of B.</param>
/// <param name="Accumulate">scale-d: D += A B, else D = A B.</param>
internal readonly record struct WgmmaOperands(MatrixDescriptor DescriptorA, MatrixDescriptor DescriptorB,
    bool Accumulate)
{
    /// <summary>Checks and marks what this warp reads from shared memory: its 16 rows of A, and all of B.</summary>
    public void Check(Warp warp, Instruction i)
    {
        var form = (WgmmaForm)i.Extra!;
        if (!form.RegisterA) Mark(warp, DescriptorA, (warp.Index & 3) * 16, 16, form.K, form.Size, form.TransposeA);
        Mark(warp, DescriptorB, 0, form.N, form.K, form.Size, form.TransposeB);
    }

    public unsafe void Multiply(Warp warp, Instruction i)
    {
        var form = (WgmmaForm)i.Extra!;
        int k = form.K, n = form.N;
        float* a = stackalloc float[16 * 32];
        float* b = (float*)NativeMemory.Alloc((nuint)(k * n * 4));
        float* acc = (float*)NativeMemory.Alloc((nuint)(16 * n * 4));
        try
        {
            if (form.RegisterA) Instructions.GatherA(warp, i.Rows2, a, k, 8 * form.Size, form.A);
            else Read(warp.Block, DescriptorA, (warp.Index & 3) * 16, 16, k, form.A, form.Size, form.TransposeA, a, k,
                1);
            Read(warp.Block, DescriptorB, 0, n, k, form.B, form.Size, form.TransposeB, b, 1, n);
            if (form.ScaleA * form.ScaleB < 0)
            {
                for (int p = 0; p < 16 * k; p++) a[p] = -a[p];
            }
            Accumulators(warp, i, form, acc, store: false);
            if (form.Integer)
            {
                MultiplyIntegers(acc, a, b, k, n);
            }
            else
            {
                Launch launch = warp.Cluster.Launch;
                TensorCore.Multiply(acc, a, b, k, n, form.A, launch.Options.ExactTensorCores,
                    launch.Kernel.Source.Module.TargetNumber);
            }
            Accumulators(warp, i, form, acc, store: true);
        }
        finally
        {
            NativeMemory.Free(b);
            NativeMemory.Free(acc);
        }
    }

    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    private static void Mark(Warp warp, MatrixDescriptor d, int firstRow, int rows, int k, int size, bool mn)
    {
        if (d.BaseOffset != 0)
            throw warp.Fault(FaultKind.InvalidOperand,
            $"a descriptor's base offset other than 0 is not supported, but got {d.BaseOffset}");
        uint span = 16u << d.Mode;
        if (d.Mode != 0 && (d.Start & ((8 * span) - 1)) >= span)
            throw warp.Fault(FaultKind.InvalidOperand,
                $"a tile with a swizzle of {span} bytes must start at a multiple of {8 * span}, but got 0x{d.Start:X}");
        uint? component = warp.Cluster.Order is { } order ? (uint)order.WgmmaGroups(warp.Global) : null;
        int perUnit = 16 / size, outer = mn ? k : rows, inner = mn ? rows : k;
        for (int o = 0; o < outer; o++)
        {
            for (int at = 0; at < inner; at += perUnit)
            {
                uint address = d.Address(firstRow + (mn ? at : o), mn ? o : at, size, mn);
                uint offset = address - Block.SharedBase;
                if (address < Block.SharedBase || offset + 16 > (uint)warp.Block.SharedBytes)
                    throw warp.OutOfBounds("shared", address, 16, -1, null, warp.Block);
                if (component is { } c)
                    warp.Block.Shadow!.AsyncRead(warp, 0, offset, 16, (int)c, warp.Wgmma!.OpenGroup);
            }
        }
    }

    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    private static unsafe void Read(Block block, MatrixDescriptor d, int firstRow, int rows, int k, PtxType type,
        int size, bool mn,
        float* to, int rowStep, int kStep)
    {
        int perUnit = 16 / size, outer = mn ? k : rows, inner = mn ? rows : k;
        int perWord = 4 / size;
        for (int o = 0; o < outer; o++)
        {
            for (int at = 0; at < inner; at += perUnit)
            {
                int row = mn ? at : o, depth = mn ? o : at;
                uint* unit = (uint*)(block.Shared + (d.Address(firstRow + row, depth, size, mn) - Block.SharedBase));
                float* target = to + (row * rowStep) + (depth * kStep);
                int step = mn ? rowStep : kStep;
                for (int e = 0; e < perUnit; e++)
                    target[e * step] = TensorCore.Element(unit[e / perWord], e % perWord, type);
            }
        }
    }

    /// <summary>Between the accumulator registers and a (16, n) matrix; integers travel as their bits.</summary>
    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    private unsafe void Accumulators(Warp warp, Instruction i, WgmmaForm form, float* acc, bool store)
    {
        int n = form.N;
        for (int lane = 0; lane < 32; lane++)
        {
            int g = lane >> 2, t = lane & 3;
            for (int r = 0; r < i.Rows.Length; r++)
            {
                uint* word = (uint*)(warp.Regs + i.Rows[r]) + lane;
                int first = form.HalfD ? 2 * r : r, count = form.HalfD ? 2 : 1;
                for (int e = 0; e < count; e++)
                {
                    int index = first + e, row = g + ((index >> 1 & 1) * 8),
                        column = (index >> 2) * 8 + (2 * t) + (index & 1);
                    float* at = acc + (row * n) + column;
                    if (!store) *at = !Accumulate ? 0 : form.HalfD ? Floats.F16(*word >> (16 * e) & 0xFFFF)
                        : Floats.F32(*word);
                    else if (form.HalfD) *word = (*word & ~(0xFFFFu << (16 * e))) | (Floats.ToF16(*at) << (16 * e));
                    else *word = form.Integer ? BitConverter.SingleToUInt32Bits(*at) : Floats.Bits(*at);
                }
            }
        }
    }

    private static unsafe void MultiplyIntegers(float* acc, float* a, float* b, int k, int n)
    {
        for (int row = 0; row < 16; row++)
        {
            for (int c = 0; c < n; c++)
            {
                int* sum = (int*)(acc + (row * n) + c);
                for (int p = 0; p < k; p++) *sum += (int)a[(row * k) + p] * (int)b[(p * n) + c];
            }
        }
    }
}

/// <summary>Shape and types of a wgmma.</summary>
internal sealed record WgmmaForm(int N, int K, PtxType A, PtxType B, int Size, bool HalfD, bool Integer, bool RegisterA,
    int ScaleA, int ScaleB,
    bool TransposeA, bool TransposeB);
