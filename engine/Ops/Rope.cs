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
        CheckRope(x, table, positions);
        return new RopeOp(x, table, positions).Run(x.Shape);
    }

    /// <summary>
    /// <see cref="Rope"/> of queries and keys where they are: their memory is overwritten, so do not read them
    /// afterwards, nor give what an op keeps for its own backward (a norm's or a projection's result is not). On CUDA
    /// one launch turns both.
    /// </summary>
    /// <param name="query">(B, T, H, D), F32, on CUDA also BF16; consumed.</param>
    /// <param name="key">(B, T, G, D) of the same type; consumed.</param>
    /// <param name="table">Angles for head dimension D.</param>
    /// <param name="positions">Position of each token (B, T), I32, each below the table's length.</param>
    public static (Tensor Query, Tensor Key) RopeInPlace(
        this Tensor query, Tensor key, RotaryTable table, Tensor positions)
    {
        CheckRope(query, table, positions);
        CheckRope(key, table, positions);
        foreach (var x in (ReadOnlySpan<Tensor>)[query, key])
        {
            if (x.IsLeaf && x.RequiresGrad)
                throw new ArgumentException($"[rope] a trainable tensor must not be overwritten, but got {x}");
        }
        if (query.DType != key.DType)
            throw new ArgumentException(
                $"[rope] query and key must have one type, but got {query.DType} and {key.DType}");
        var turned = new RopeOp(key, table, positions, waits: true).Run(key.View(key.Shape));
        return (new RopeOp(query, table, positions, with: key).Run(query.View(query.Shape)), turned);
    }

    private static void CheckRope(Tensor x, RotaryTable table, Tensor positions)
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
    private readonly bool waits;
    private Tensor? with;

    /// <param name="x">Queries or keys.</param>
    /// <param name="table">Angles.</param>
    /// <param name="positions">Of the tokens.</param>
    /// <param name="waits">On CUDA, another op's launch turns x.</param>
    /// <param name="with">On CUDA, what this op's launch turns besides, in place.</param>
    public RopeOp(Tensor x, RotaryTable table, Tensor positions, bool waits = false, Tensor? with = null)
        : base("rope", x)
    {
        (this.x, this.table, this.positions, this.waits, this.with) = (x, table, positions, waits, with);
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

    protected override void ForwardCuda(Tensor y)
    {
        if (!waits)
            TurnOnCuda(x, y, false, false);
        with = null;
    }

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
                from.DeviceAddress, to.DeviceAddress, with?.DeviceAddress ?? 0, with?.DeviceAddress ?? 0,
                table.Cos.OnDevice<float>(), table.Sin.OnDevice<float>(), positions.OnDevice<int>(), s[0] * s[1], s[2],
                with?.Shape[2] ?? 0, s[3], inverse ? 1 : 0, add ? 1 : 0),
            to.DType == DType.BF16);
    }
}
