using CudaLora.Engine;

namespace CudaLora.Lora;

/// <summary>
/// A0 and B0, the first values of an adapter that began as a part of its base weight (PiSSA, OLoRA): the base is then
/// W - s B0 A0. It is not changed; the product is taken off the output, so the base stays exact, also in 4 bits.
/// </summary>
internal sealed class StartingProduct : IDisposable
{
    public StartingProduct(Tensor a, Tensor b) => (A, B) = (FullLayer.Copy(a), FullLayer.Copy(b));

    /// <summary>A0 (r, in).</summary>
    public Tensor A { get; }

    /// <summary>B0 (out, r).</summary>
    public Tensor B { get; }

    /// <summary>y - s B0 A0 x.</summary>
    public Tensor TakeFrom(Tensor y, Tensor x, float scale) => y.Sub(x.Linear(A).Scale(scale).Linear(B));

    /// <summary>
    /// What a file holds, so that it fits the base as it is: B A - B0 A0 as one product of twice the rank,
    /// [B, -B0] [A; A0].
    /// </summary>
    public (Tensor A, Tensor B) Joined(Tensor a, Tensor b)
    {
        using var noGrad = GradMode.NoGrad();
        return (TensorOps.Concat(0, a, A), TensorOps.Concat(1, b, B.Scale(-1)));
    }

    /// <summary>Takes A and B out of what <see cref="Joined"/> made.</summary>
    /// <exception cref="UserErrorException">It began with other values.</exception>
    public void Split(ParameterPath layer, Tensor joinedA, Tensor joinedB, Tensor a, Tensor b)
    {
        using var noGrad = GradMode.NoGrad();
        var rank = a.Shape[0];
        var start = joinedA.Slice(0, rank, rank).ToArray();
        if (!start.AsSpan().SequenceEqual(A.ToArray()))
            throw new UserErrorException(
                $"{layer}: the saved adapter began with other values; resume with the seed, base model and " +
                "init_lora_weights it was made with");
        a.CopyFrom(joinedA.Slice(0, 0, rank));
        b.CopyFrom(joinedB.Slice(1, 0, rank));
    }

    public void Dispose()
    {
        A.Dispose();
        B.Dispose();
    }
}
