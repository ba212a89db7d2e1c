using CudaLora.Kernels.Blas;
using CudaLora.Kernels.Ops;

namespace CudaLora.Engine;

/// <summary>The large products of a LoRA layer on a CUDA device, one method per strategy and direction.</summary>
internal partial class LoraLinearOp
{
    // y = x W0ᵀ + b + s S Bᵀ, given S.
    private void Forward(LoraStrategy strategy, Tensor y, ulong s)
    {
        var (m, n, bf16, device) = (y.Shape.Rows, b.Shape[0], x.DType == DType.BF16, Cuda);
        if (!bf16)
        {
            CudaProduct.Forward(x, BaseAs(DType.F32), bias, y);
            AddAdapterF32(m, n, s, y);
            return;
        }
        if (strategy == LoraStrategy.BlockMatrix && WidensInput)
        {
            ForwardBlock(y, s);
            return;
        }
        if (DecodesInRegisters(strategy, m, bias))
        {
            QuantizedProduct.Forward(x, Codes!, bias, s, RankPitch, b, scale, y);
            return;
        }
        var packed = device.Rent((long)n * OwnPitch * sizeof(ushort)); // s B (N, r) in BF16
        var sb = packed.DeviceAddress;
        LoraPack.Pack(device.Stream, new(0, b.DeviceAddress, 0, sb, 0, n, Rank, 0, OwnPitch, 0, Rank, scale));
        if (!IsFused(strategy) || !ForwardFused(strategy, y, s, sb))
        {
            // The adapter's part first: rounded after the base's, most of what it adds would be below half a unit of
            // the sum and be lost, step after step the same way.
            device.Gemm.Run(
                device.Stream, Bf16(m, n, Rank, true, RankPitch, OwnPitch, n), s, sb, y.DeviceAddress, 1, 0);
            CudaProduct.Forward(x, BaseAs(DType.BF16), y, true);
            if (bias is not null)
                CudaProduct.FillRows(y, bias, true);
        }
        packed.Release();
    }

    // dX (+)= dY W0 + drop'(dS A), given dS.
    private void InputGrad(LoraStrategy strategy, Tensor dy, ulong ds, Tensor g, bool add)
    {
        var (m, k, bf16, device) = (dy.Shape.Rows, a.Shape[1], x.DType == DType.BF16, Cuda);
        // Under dropout the adapter's part is masked before it is added.
        var joins = bf16 && !IsMasked;
        if (joins && strategy == LoraStrategy.BlockMatrix && WidensGradient)
        {
            InputGradBlock(dy, ds, g, add);
            return;
        }
        if (joins && DecodesInRegisters(strategy, m))
        {
            var all = FloatA();
            QuantizedProduct.InputGrad(dy, Codes!, ds, RankPitch, all.Address, Ranks, g, add);
            all.Release();
            return;
        }
        var packed = bf16 ? device.Rent((long)Ranks * Pitch(k) * sizeof(ushort)) : null; // A (r, K) in BF16
        var packedAt = packed?.DeviceAddress ?? 0;
        if (bf16)
            PackA(packedAt, Pitch(k));
        if (!(joins && IsFused(strategy) && InputGradFused(strategy, dy, ds, packedAt, g, add)))
        {
            if (IsMasked)
                AddMasked(m, k, ds, packedAt, g, add);
            else
                AdapterInputGrad(m, k, ds, packedAt, g.DeviceAddress, g.DType, add ? 1 : 0);
            CudaProduct.InputGrad(dy, BaseAs(dy.DType), g, true);
        }
        packed?.Release();
    }

    /// <summary>g (+)= dY W0, a product of its own: a 4-bit base takes its fastest way.</summary>
    public void InputGradBase(Tensor dy, Tensor g, bool add)
    {
        if (Codes is { } codes)
            QuantizedLinearOp.InputGradCuda(codes, dy, g, add);
        else
            CudaProduct.InputGrad(dy, BaseAs(dy.DType), g, add);
    }

    private void AddMasked(int m, int k, ulong ds, ulong packed, Tensor g, bool add)
    {
        var part = g.Device.Rent((long)m * k * x.DType.Size());
        AdapterInputGrad(m, k, ds, packed, part.DeviceAddress, x.DType, 0);
        Dropout.Apply(
            Cuda.Stream, part.DeviceAddress, g.DeviceAddress, (long)m * k, dropout.Probability, dropout.Seed,
            dropout.Stream, dropout.StreamBase, add, g.DType == DType.BF16);
        part.Release();
    }

    // to = dS A + beta to.
    private void AdapterInputGrad(int m, int k, ulong ds, ulong packed, ulong to, DType type, float beta)
    {
        var (device, all) = (Cuda, x.DType == DType.BF16 ? new(packed, Pitch(k), null) : FloatA());
        var shape = new GemmShape(
            m, k, Ranks, false, false, CudaProduct.TypeOf(x.DType), CudaProduct.TypeOf(type), RankPitch, all.Pitch, k);
        device.Gemm.Run(device.Stream, shape, ds, all.Address, to, 1, beta);
        all.Release();
    }

    // A as it is, of all layers that share S: a copy where they are several.
    private CudaProduct.Factor FloatA()
    {
        var stacked = down?.RentStacked();
        return new CudaProduct.Factor(stacked?.DeviceAddress ?? a.DeviceAddress, a.Shape[1], stacked);
    }

    private bool DecodesInRegisters(LoraStrategy strategy, int tokens, Tensor? shift = null) =>
        strategy == LoraStrategy.FusedNf4 && Codes is not null && QuantizedProduct.Suits(x.DType, tokens, shift);

    private bool IsMasked => dropout.Probability > 0;

    private static bool IsFused(LoraStrategy strategy) => strategy is LoraStrategy.Fused or LoraStrategy.FusedMma;

    private bool UsesWgmma(LoraStrategy strategy) => strategy == LoraStrategy.Fused && HasWgmma;

    // One product of the project's own kernels, if they can read the matrices and the bias.
    private bool ForwardFused(LoraStrategy strategy, Tensor y, ulong s, ulong sb)
    {
        var (m, n, k) = (y.Shape.Rows, b.Shape[0], a.Shape[1]);
        var w = BaseAs(DType.BF16);
        var reads = GemmMma.Reads(x.DeviceAddress, k) && GemmMma.Reads(w.Address, w.Pitch)
            && bias is not { DType: not DType.F32 };
        if (reads && UsesWgmma(strategy) && LoraWgmma.Reads(y.DeviceAddress, n))
        {
            if (bias is not null)
                CudaProduct.FillRows(y, bias);
            LoraWgmma.Launch(
                Cuda.Stream, backward: false,
                LoraWgmma.Forward(
                    Cuda.Context, x.DeviceAddress, w.Address, y.DeviceAddress, s, sb, m, n, k, Rank, k, w.Pitch, n,
                    RankPitch, OwnPitch, bias is not null));
        }
        else if (reads)
        {
            GemmMma.Launch(
                Cuda.Stream, false, true, 1,
                new(
                    x.DeviceAddress, w.Address, y.DeviceAddress, 0, 0, 0, s, sb, bias?.DeviceAddress ?? 0, m, n, k, k,
                    w.Pitch, n, Rank, RankPitch, OwnPitch, 1, 0, 1));
        }
        w.Release();
        return reads;
    }

    private bool InputGradFused(LoraStrategy strategy, Tensor dy, ulong ds, ulong packed, Tensor g, bool add)
    {
        var (m, n, k) = (dy.Shape.Rows, b.Shape[0], a.Shape[1]);
        var w = BaseAs(DType.BF16);
        var reads = GemmMma.Reads(dy.DeviceAddress, n) && GemmMma.Reads(w.Address, w.Pitch);
        if (reads && UsesWgmma(strategy) && LoraWgmma.Reads(g.DeviceAddress, k))
        {
            LoraWgmma.Launch(
                Cuda.Stream, backward: true,
                LoraWgmma.Backward(
                    Cuda.Context, dy.DeviceAddress, w.Address, g.DeviceAddress, ds, packed, m, k, n, Ranks, n, w.Pitch,
                    k, RankPitch, Pitch(k), add));
        }
        else if (reads)
        {
            GemmMma.Launch(
                Cuda.Stream, false, false, 1,
                new(
                    dy.DeviceAddress, w.Address, g.DeviceAddress, 0, 0, 0, ds, packed, 0, m, k, n, n, w.Pitch, k,
                    Ranks, RankPitch, Pitch(k), 1, add ? 1 : 0, 1));
        }
        w.Release();
        return reads;
    }

    // Bytes decide whether x is widened to [x | S]: that reads and writes x once, for all layers that share S, where
    // the composed way reads and writes y once more, for each. With as many the widened product wins: it rounds once.
    private bool WidensInput => FitsPad && a.Shape[1] <= (down?.Outputs ?? b.Shape[0]);

    // The same way back: dY is copied where that is fewer bytes than reading and writing dX once more.
    private bool WidensGradient => FitsPad && b.Shape[0] <= a.Shape[1];

    private bool FitsPad => Ranks <= LoraBlockMatrix.Pad;

    // One product of the library on rows [x | S] and [W0 | s B]; only the columns in use are multiplied.
    private void ForwardBlock(Tensor y, ulong s)
    {
        var (m, device, block) = (y.Shape.Rows, Cuda, Block());
        var matrix = Matrix(block, out var rented);
        var wide = down?.Widened(block.InputPitch) ?? Widened(x, block.InputPitch, s, Rank);
        LoraPack.Pack(
            device.Stream,
            new(
                0, b.DeviceAddress, 0, matrix + (2 * (ulong)block.Inputs), 0, block.Outputs, Rank, 0, block.InputPitch,
                slot, Ranks, scale));
        if (bias is not null)
            CudaProduct.FillRows(y, bias);
        device.Gemm.Run(
            device.Stream, block.Forward(m, block.Outputs) with { K = block.Inputs + Ranks }, wide.DeviceAddress,
            matrix, y.DeviceAddress, 1, bias is null ? 0 : 1);
        if (down is null)
            wide.Release();
        rented?.Release();
    }

    // The same way back, on rows [dY | dS] and [W0; A].
    private void InputGradBlock(Tensor dy, ulong ds, Tensor g, bool add)
    {
        var (m, device, block) = (dy.Shape.Rows, Cuda, Block());
        var matrix = Matrix(block, out var rented);
        var wide = Widened(dy, block.OutputPitch, ds, Ranks);
        PackA(matrix + (2 * (ulong)block.Outputs * (ulong)block.InputPitch), block.InputPitch);
        device.Gemm.Run(
            device.Stream,
            block.Backward(m, block.Inputs) with
            {
                K = block.Outputs + Ranks,
                OutputType = CudaProduct.TypeOf(g.DType),
            },
            wide.DeviceAddress, matrix, g.DeviceAddress, 1, add ? 1 : 0);
        wide.Release();
        rented?.Release();
    }

    /// <summary>[wide | thin]: rows of <paramref name="pitch"/>, in memory the caller releases.</summary>
    public static Storage Widened(Tensor wide, int pitch, ulong thin, int ranks)
    {
        var (rows, cols, stream) = (wide.Shape.Rows, wide.Shape[^1], CudaProduct.Of(wide).Stream);
        var to = wide.Device.Rent((long)rows * pitch * sizeof(ushort));
        LoraPack.Pad(stream, rows, new(wide.DeviceAddress, to.DeviceAddress, cols, cols, pitch));
        LoraPack.Pad(stream, rows, new(thin, to.DeviceAddress + (2 * (ulong)cols), ranks, Pitch(ranks), pitch));
        return to;
    }

    private LoraBlockMatrix Block() => new(a.Shape[1], b.Shape[0]);

    // W0 with room beside and below: its own memory where it was laid out so, else a copy to be released. What the
    // room holds is written before each product that reads it, so adapters may take turns on one weight.
    private ulong Matrix(LoraBlockMatrix block, out Storage? rented)
    {
        rented = null;
        if (weight is { HasAdapterRoom: true } && weight.RowPitch == block.InputPitch)
            return weight.RowsAddress;
        rented = Cuda.Rent(block.Count * sizeof(ushort));
        PadBase(rented.DeviceAddress, block.InputPitch);
        return rented.DeviceAddress;
    }

    // A in BF16, of all layers that share S.
    private void PackA(ulong to, int pitch)
    {
        if (down is not null)
            down.PackA(to, pitch);
        else
            PackA(a, to, pitch);
    }

    /// <summary>A (r, in) in BF16, rows of <paramref name="pitch"/>.</summary>
    public static void PackA(Tensor a, ulong to, int pitch) => LoraPack.Pack(
        CudaProduct.Of(a).Stream, new(a.DeviceAddress, 0, to, 0, a.Shape[1], 0, a.Shape[0], pitch, 0, 0, 0, 1));

    // y += s S Bᵀ.
    private void AddAdapterF32(int m, int n, ulong s, Tensor y)
    {
        var shape = GemmShape.Dense(m, n, Rank, false, true, GemmType.F32, GemmType.F32) with { Lda = RankPitch };
        Cuda.Gemm.Run(Cuda.Stream, shape, s, b.DeviceAddress, y.DeviceAddress, scale, 1);
    }

    private int OwnPitch => Pitch(Rank);

    private static int Pitch(int cols) => CudaProduct.Pitch(DType.BF16, cols);

    private static GemmShape Bf16(int m, int n, int k, bool transB, int lda, int ldb, int ldc) =>
        new(m, n, k, false, transB, GemmType.BF16, GemmType.BF16, lda, ldb, ldc);
}
