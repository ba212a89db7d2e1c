using CudaLora.Engine;
using CudaLora.Kernels.Simd;

namespace CudaLora.Bench.Ops;

/// <summary>Rotary positions on (1, 2048, 16, 64).</summary>
[Traffic(Forward = 2, Backward = 2)]
public class RopeBench : OpBench
{
    private RotaryTable table = null!;

    /// <inheritdoc/>
    protected override void Prepare() => table = new RotaryTable(Columns, 64, new RopeFrequencies(10000f));

    /// <inheritdoc/>
    protected override Tensor Apply() => X.Reshape(Shape.Of(1, Rows, Columns / 64, 64)).Rope(table, Ids);
}
