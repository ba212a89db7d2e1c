using CudaLora.Kernels.Simd;

namespace CudaLora.Engine;

public static partial class TensorOps
{
    /// <summary>
    /// Rotary position embedding, rotate-half layout (Su et al. 2021, arXiv 2104.09864). The gradient is the turn back.
    /// </summary>
    /// <param name="x">Queries or keys (B, T, H, D), F32.</param>
    /// <param name="table">Angles for head dimension D.</param>
    /// <param name="positions">Position of each token (B, T), I32, each below the table's length.</param>
    public static Tensor Rope(this Tensor x, RotaryTable table, Tensor positions)
    {
        Tensor.RequireFloat("rope", x);
        if (x.Shape.Rank != 4 || x.Shape[3] != table.Cos.Shape[1] * 2)
            throw new ArgumentException(
                $"[rope] x must be (B, T, H, {table.Cos.Shape[1] * 2}), but got x {x.Shape}");
        if (positions.DType != DType.I32 || positions.Count != (long)x.Shape[0] * x.Shape[1])
            throw new ArgumentException(
                "[rope] positions must be I32, one per token, " +
                $"but got {positions.DType} {positions.Shape} (x {x.Shape})");
        if (table.Cos.Device != x.Device || positions.Device != x.Device)
            throw new ArgumentException(
                "[rope] table and positions must be where x is, " +
                $"but got {table.Cos.Device.Name} and {positions.Device.Name} (x {x.Device.Name})");
        // What a device holds is not read back.
        if (positions.Device.Kind == DeviceKind.Cpu)
            CheckPositions(positions.Span<int>(), table.Positions);
        return new RopeOp(x, table, positions).Run(x.Shape);
    }

    private static void CheckPositions(ReadOnlySpan<int> positions, int context)
    {
        foreach (var position in positions)
        {
            if ((uint)position >= (uint)context)
                throw new ArgumentException(
                    $"[rope] positions must be within the context of {context}, but got {position}");
        }
    }
}

internal sealed unsafe class RopeOp : Op
{
    private readonly Tensor x;
    private readonly RotaryTable table;
    private readonly Tensor positions;

    public RopeOp(Tensor x, RotaryTable table, Tensor positions)
        : base("rope", x)
    {
        (this.x, this.table, this.positions) = (x, table, positions);
        Save(positions);
    }

    protected override void ForwardCpu(Tensor y) => Turn(x, y, false, false);

    protected override void BackwardCpu(Tensor y, Tensor dy)
    {
        var g = GradOf(x, out var add);
        Turn(dy, g, true, add);
    }

    private void Turn(Tensor from, Tensor to, bool inverse, bool add)
    {
        var s = to.Shape;
        RopeKernel.Apply(
            from.Pointer<float>(), to.Pointer<float>(), s[0] * s[1], s[2], s[3], table.Cos.Pointer<float>(),
            table.Sin.Pointer<float>(), positions.Pointer<int>(), 1, inverse, add);
    }

    protected override void ForwardCuda(Tensor y) => TurnOnCuda(x, y, false, false);

    protected override void BackwardCuda(Tensor y, Tensor dy)
    {
        var g = GradOf(x, out var add);
        TurnOnCuda(dy, g, true, add);
    }

    private void TurnOnCuda(Tensor from, Tensor to, bool inverse, bool add)
    {
        var s = to.Shape;
        Kernels.Ops.Rope.Launch(
            Stream(to),
            new(
                from.DeviceAddress, to.DeviceAddress, 0, 0, table.Cos.OnDevice<float>(), table.Sin.OnDevice<float>(),
                positions.OnDevice<int>(), s[0] * s[1], s[2], 0, s[3], inverse ? 1 : 0, add ? 1 : 0),
            to.DType == DType.BF16);
    }
}
