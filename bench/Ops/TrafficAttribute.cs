namespace CudaLora.Bench.Ops;

/// <summary>
/// How often an op must at least move a whole (Rows, Columns) F32 tensor between memory and core: the bytes of the GB/s
/// column. Caches may do better on tensors that fit them, recomputation is not counted.
/// </summary>
[AttributeUsage(AttributeTargets.Class)]
public sealed class TrafficAttribute : Attribute
{
    /// <summary>Tensors read and written by the forward pass.</summary>
    public double Forward { get; init; }

    /// <summary>Tensors read and written by the backward pass.</summary>
    public double Backward { get; init; }

    /// <summary>Bytes of one call of a method.</summary>
    internal Work Of(string method)
    {
        var tensors = method == nameof(OpBench.Forward) ? Forward : Forward + Backward;
        return new Work(0, tensors * OpBench.Rows * OpBench.Columns * sizeof(float));
    }
}
