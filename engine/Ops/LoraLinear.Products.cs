using CudaLora.Kernels.Blas;
using CudaLora.Kernels.Ops;

namespace CudaLora.Engine;

/// <summary>The large products of a LoRA layer on a CUDA device, one method per strategy and direction.</summary>
internal unsafe partial class LoraLinearOp
{
    // y = x W0ᵀ + b + s S Bᵀ, given S.
    private void Forward(LoraStrategy strategy, Tensor y, ulong s)
    {
        var (m, n, bf16, device) = (y.Shape.Rows, b.Shape[0], x.DType == DType.BF16, Cuda);
        if (!bf16)
        {
            ForwardBaseCuda(y, false);
            CudaProduct.Run(DType.F32, false, true, m, n, Rank, scale, s, b.DeviceAddress, y, true);
            return;
        }
        if (strategy == LoraStrategy.BlockMatrix && Rank <= LoraBlockMatrix.Pad)
        {
            ForwardBlock(y, s);
            return;
        }
        if (DecodesInRegisters(strategy, m) && (bias is null || bias.DType == DType.F32))
        {
            QuantizedProduct.Forward(x, Codes!, bias, s, RankPitch, b, scale, y);
            return;
        }
        var packed = device.Rent((long)n * RankPitch * sizeof(ushort)); // s B (N, r) in BF16
        var sb = (ulong)packed.Pointer;
        LoraPack.Pack(device.Stream, new(0, b.DeviceAddress, 0, sb, 0, n, Rank, 0, RankPitch, scale));
        if (!IsFused(strategy) || !ForwardFused(strategy, y, s, sb))
        {
            // The adapter's part first: rounded after the base's, most of what it adds would be below half a unit of
            // the sum and be lost, step after step the same way.
            device.Gemm.Run(
                device.Stream, Bf16(m, n, Rank, true, RankPitch, RankPitch, n), s, sb, y.DeviceAddress, 1, 0);
            ForwardBaseCuda(y, true);
        }
        packed.Release();
    }

    // dX (+)= dY W0 + drop'(dS A), given dS.
    private void InputGrad(LoraStrategy strategy, Tensor dy, ulong ds, Tensor g, bool add)
    {
        var (m, k, bf16, device) = (dy.Shape.Rows, a.Shape[1], x.DType == DType.BF16, Cuda);
        // Under dropout the adapter's part is masked before it is added.
        var joins = bf16 && dropout.Probability == 0;
        if (joins && strategy == LoraStrategy.BlockMatrix && Rank <= LoraBlockMatrix.Pad)
        {
            InputGradBlock(dy, ds, g, add);
            return;
        }
        if (joins && DecodesInRegisters(strategy, m))
        {
            QuantizedProduct.InputGrad(dy, Codes!, ds, RankPitch, a, g, add);
            return;
        }
        var packed = bf16 ? device.Rent((long)Rank * Pitch(k) * sizeof(ushort)) : null; // A (r, K) in BF16
        if (bf16)
            LoraPack.Pack(device.Stream, new(a.DeviceAddress, 0, At(packed), 0, k, 0, Rank, Pitch(k), 0, 1));
        if (!(joins && IsFused(strategy) && InputGradFused(strategy, dy, ds, At(packed), g, add)))
        {
            if (dropout.Probability == 0)
                AdapterInputGrad(m, k, ds, At(packed), g.DeviceAddress, g.DType, add ? 1 : 0);
            else
                AddMasked(m, k, ds, At(packed), g, add);
            InputGradBaseCuda(dy, g, true);
        }
        packed?.Release();
    }

    // y (+)= x W0ᵀ + b.
    private void ForwardBaseCuda(Tensor y, bool add)
    {
        if (bias is not null && !add)
            CudaProduct.FillRows(y, bias);
        var w = BaseAs(x.DType);
        CudaProduct.Run(
            x.DType, false, true, y.Shape.Rows, b.Shape[0], a.Shape[1], 1, x.DeviceAddress, w.Address, y,
            add || bias is not null);
        w.Release();
        if (bias is not null && add)
            CudaProduct.FillRows(y, bias, add);
    }

    // g (+)= dY W0.
    private void InputGradBaseCuda(Tensor dy, Tensor g, bool add)
    {
        var w = BaseAs(dy.DType);
        CudaProduct.Run(
            dy.DType, false, false, dy.Shape.Rows, a.Shape[1], b.Shape[0], 1, dy.DeviceAddress, w.Address, g, add);
        w.Release();
    }

    private void AddMasked(int m, int k, ulong ds, ulong packed, Tensor g, bool add)
    {
        var part = g.Device.Rent((long)m * k * x.DType.Size());
        AdapterInputGrad(m, k, ds, packed, At(part), x.DType, 0);
        Dropout.Apply(
            Cuda.Stream, At(part), g.DeviceAddress, (long)m * k, dropout.Probability, dropout.Seed,
            dropout.Stream, dropout.StreamBase, add, g.DType == DType.BF16);
        part.Release();
    }

    // to = dS A + beta to.
    private void AdapterInputGrad(int m, int k, ulong ds, ulong packed, ulong to, DType type, float beta)
    {
        var bf16 = x.DType == DType.BF16;
        var shape = new GemmShape(
            m, k, Rank, false, false, CudaProduct.TypeOf(x.DType), CudaProduct.TypeOf(type), RankPitch,
            bf16 ? Pitch(k) : k, k);
        var device = Cuda;
        device.Gemm.Run(device.Stream, shape, ds, bf16 ? packed : a.DeviceAddress, to, 1, beta);
    }

    private bool DecodesInRegisters(LoraStrategy strategy, int tokens) =>
        strategy == LoraStrategy.FusedNf4 && Codes is not null && QuantizedProduct.Suits(x.DType, tokens);

    private static bool IsFused(LoraStrategy strategy) => strategy is LoraStrategy.Fused or LoraStrategy.FusedMma;

    private bool UsesWgmma(LoraStrategy strategy) => strategy == LoraStrategy.Fused && HasWgmma;

    // One product of the project's own kernels, if they can read the matrices.
    private bool ForwardFused(LoraStrategy strategy, Tensor y, ulong s, ulong sb)
    {
        var (m, n, k) = (y.Shape.Rows, b.Shape[0], a.Shape[1]);
        var w = BaseAs(DType.BF16);
        var reads = GemmMma.Reads(x.DeviceAddress, k) && GemmMma.Reads(w.Address, k);
        if (reads && UsesWgmma(strategy) && LoraWgmma.Reads(y.DeviceAddress, n))
        {
            if (bias is not null)
                CudaProduct.FillRows(y, bias);
            LoraWgmma.Launch(
                Cuda.Stream, backward: false,
                LoraWgmma.Forward(
                    Cuda.Context, x.DeviceAddress, w.Address, y.DeviceAddress, s, sb, m, n, k, Rank, k, k, n, RankPitch,
                    RankPitch, bias is not null));
        }
        else if (reads)
        {
            GemmMma.Launch(
                Cuda.Stream, false, true, 1,
                new(
                    x.DeviceAddress, w.Address, y.DeviceAddress, 0, 0, 0, s, sb, bias?.DeviceAddress ?? 0, m, n, k, k,
                    k, n, Rank, RankPitch, RankPitch, 1, 0, 1));
        }
        w.Release();
        return reads;
    }

    private bool InputGradFused(LoraStrategy strategy, Tensor dy, ulong ds, ulong packed, Tensor g, bool add)
    {
        var (m, n, k) = (dy.Shape.Rows, b.Shape[0], a.Shape[1]);
        var w = BaseAs(DType.BF16);
        var reads = GemmMma.Reads(dy.DeviceAddress, n) && GemmMma.Reads(w.Address, k);
        if (reads && UsesWgmma(strategy) && LoraWgmma.Reads(g.DeviceAddress, k))
        {
            LoraWgmma.Launch(
                Cuda.Stream, backward: true,
                LoraWgmma.Backward(
                    Cuda.Context, dy.DeviceAddress, w.Address, g.DeviceAddress, ds, packed, m, k, n, Rank, n, k, k,
                    RankPitch, Pitch(k), add));
        }
        else if (reads)
        {
            GemmMma.Launch(
                Cuda.Stream, false, false, 1,
                new(
                    dy.DeviceAddress, w.Address, g.DeviceAddress, 0, 0, 0, ds, packed, 0, m, k, n, n, k, k, Rank,
                    RankPitch, Pitch(k), 1, add ? 1 : 0, 1));
        }
        w.Release();
        return reads;
    }

    // One product of the library on rows [x | S] and [W0 | s B]; only the columns in use are multiplied.
    private void ForwardBlock(Tensor y, ulong s)
    {
        var (m, device) = (y.Shape.Rows, Cuda);
        var block = Block();
        var (matrix, wide) = (Widen(block, needsB: true), device.Rent((long)m * block.InputPitch * sizeof(ushort)));
        LoraPack.Pad(device.Stream, m, new(x.DeviceAddress, At(wide), block.Inputs, block.Inputs, block.InputPitch));
        LoraPack.Pad(
            device.Stream, m,
            new(s, At(wide) + (2 * (ulong)block.Inputs), Rank, RankPitch, block.InputPitch));
        if (bias is not null)
            CudaProduct.FillRows(y, bias);
        device.Gemm.Run(
            device.Stream, block.Forward(m, block.Outputs) with { K = block.Inputs + Rank }, At(wide), At(matrix),
            y.DeviceAddress, 1, bias is null ? 0 : 1);
        wide.Release();
        matrix.Release();
    }

    private void InputGradBlock(Tensor dy, ulong ds, Tensor g, bool add)
    {
        var (m, device) = (dy.Shape.Rows, Cuda);
        var block = Block();
        var (matrix, wide) = (Widen(block, needsB: false), device.Rent((long)m * block.OutputPitch * sizeof(ushort)));
        LoraPack.Pad(
            device.Stream, m, new(dy.DeviceAddress, At(wide), block.Outputs, block.Outputs, block.OutputPitch));
        LoraPack.Pad(
            device.Stream, m,
            new(ds, At(wide) + (2 * (ulong)block.Outputs), Rank, RankPitch, block.OutputPitch));
        device.Gemm.Run(
            device.Stream,
            block.Backward(m, block.Inputs) with
            {
                K = block.Outputs + Rank,
                OutputType = CudaProduct.TypeOf(g.DType),
            },
            At(wide), At(matrix), g.DeviceAddress, 1, add ? 1 : 0);
        wide.Release();
        matrix.Release();
    }

    private LoraBlockMatrix Block() => new(a.Shape[1], b.Shape[0]);

    // W0 with s B beside it or A below it.
    private Storage Widen(LoraBlockMatrix block, bool needsB)
    {
        var device = Cuda;
        var matrix = device.Rent(block.Count * sizeof(ushort));
        PadBase(At(matrix), block.InputPitch);
        LoraPack.Pack(
            device.Stream,
            needsB
                ? new(
                    0, b.DeviceAddress, 0, At(matrix) + (2 * (ulong)block.Inputs), 0, block.Outputs, Rank, 0,
                    block.InputPitch, scale)
                : new(
                    a.DeviceAddress, 0, At(matrix) + (2 * (ulong)block.Outputs * (ulong)block.InputPitch), 0,
                    block.Inputs, 0, Rank, block.InputPitch, 0, 1));
        return matrix;
    }

    private static int Pitch(int cols) => (cols + 7) / 8 * 8;

    private static GemmShape Bf16(int m, int n, int k, bool transB, int lda, int ldb, int ldc) =>
        new(m, n, k, false, transB, GemmType.BF16, GemmType.BF16, lda, ldb, ldc);
}
