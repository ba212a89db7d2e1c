namespace CudaLora.Engine;

public static partial class TensorOps
{
    /// <summary>
    /// Writes the keys and values of new tokens into a cache, in place: keys[b, starts[b] + t] = k[b, t], and values
    /// likewise. A token whose slot is not within the capacity is dropped. For inference: no gradient.
    /// </summary>
    /// <param name="keys">The cache's keys (B, capacity, G, D), F32, or BF16 on a CUDA device.</param>
    /// <param name="values">The cache's values, shaped as the keys.</param>
    /// <param name="k">New keys (B, T, G, D) of the same type.</param>
    /// <param name="v">New values, shaped as k.</param>
    /// <param name="starts">Tokens that each row holds (B), I32; read when the work runs.</param>
    public static void CacheAppend(this Tensor keys, Tensor values, Tensor k, Tensor v, Tensor starts)
    {
        Tensor.RequireFloat("cache_append", keys);
        if (keys.Shape.Rank != 4 || k.Shape.Rank != 4 || values.Shape != keys.Shape || v.Shape != k.Shape
            || k.Shape[0] != keys.Shape[0] || k.Shape[2] != keys.Shape[2] || k.Shape[3] != keys.Shape[3])
            throw new ArgumentException(
                "[cache_append] keys, values must be (B, capacity, G, D) and k, v (B, T, G, D), " +
                $"but got keys {keys.Shape}, values {values.Shape}, k {k.Shape}, v {v.Shape}");
        if (values.DType != keys.DType || k.DType != keys.DType || v.DType != keys.DType)
            throw new ArgumentException(
                $"[cache_append] k and v must have the cache's dtype {keys.DType}, but got {k.DType} and {v.DType}");
        if (starts.DType != DType.I32 || starts.Count != keys.Shape[0])
            throw new ArgumentException(
                $"[cache_append] starts must be {keys.Shape[0]} I32 values, but got {starts.DType} {starts.Shape}");
        if (GradMode.Enabled && (k.RequiresGrad || v.RequiresGrad))
            throw new ArgumentException("[cache_append] k and v must not require a gradient");
        new CacheAppendOp(values, k, v, starts).Run(keys);
    }
}

internal sealed class CacheAppendOp(Tensor values, Tensor k, Tensor v, Tensor starts)
    : Op("cache_append", values, k, v, starts)
{
    protected override void ForwardCpu(Tensor y)
    {
        Copy(k, y);
        Copy(v, values);
    }

    protected override void ForwardCuda(Tensor y) => Kernels.Ops.CacheAppend.Launch(
        Stream(y), y.DType == DType.BF16, k.DeviceAddress, v.DeviceAddress, y.DeviceAddress, values.DeviceAddress,
        starts.DeviceAddress, k.Shape[0], k.Shape[1], y.Shape[1], k.Shape[2] * k.Shape[3]);

    // Never called: the op is not differentiated, and refuses inputs that want it.
    protected override void BackwardCpu(Tensor y, Tensor dy) =>
        throw new NotSupportedException("[cache_append] has no gradient");

    protected override void BackwardCuda(Tensor y, Tensor dy) => BackwardCpu(y, dy);

    private void Copy(Tensor from, Tensor to)
    {
        var (tokens, capacity, width) = (from.Shape[1], to.Shape[1], from.Shape[2] * from.Shape[3]);
        ReadOnlySpan<float> source = from.Span<float>();
        var target = to.Span<float>();
        ReadOnlySpan<int> at = starts.Span<int>();
        for (var b = 0; b < at.Length; b++)
        {
            for (var t = 0; t < tokens; t++)
            {
                if ((uint)(at[b] + t) < (uint)capacity)
                    source.Slice(((b * tokens) + t) * width, width)
                        .CopyTo(target[(((b * capacity) + at[b] + t) * width)..]);
            }
        }
    }
}
