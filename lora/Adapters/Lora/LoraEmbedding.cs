using CudaLora.Engine;
using CudaLora.Kernels.Simd;

namespace CudaLora.Lora;

/// <summary>
/// LoRA on a table of embeddings: row i is W0[i] + s Bᵀ A[:, i]. As in PEFT A begins as zero, B as standard normal, and
/// there is no dropout.
/// </summary>
internal sealed unsafe class LoraEmbedding : IEmbeddingAdapter, IAdapterLayer
{
    private readonly Embedding embedding;
    private readonly float scale;
    private Tensor? original;

    public LoraEmbedding(Embedding embedding, int rank, double scale, Generator random)
    {
        (this.embedding, this.scale) = (embedding, (float)scale);
        var table = embedding.Weight.Value;
        var source = new DeviceParameters(new RandomParameters(random), table.Device, DType.F32);
        A = new Parameter(
            embedding.Path / "lora_embedding_A",
            source.Get(default, Shape.Of(table.Shape[0], rank), Initializer.Zeros));
        B = new Parameter(
            embedding.Path / "lora_embedding_B",
            source.Get(default, Shape.Of(table.Shape[1], rank), Initializer.Normal(1)));
    }

    public Module Layer => embedding;

    /// <summary>Aᵀ (vocabulary, r): looked up by row; files hold A (r, vocabulary).</summary>
    public Parameter A { get; }

    /// <summary>B (n, r).</summary>
    public Parameter B { get; }

    public Tensor Forward(Embedding table, Tensor ids)
    {
        var y = table.Weight.Value.Embedding(ids);
        return original is null ? y.Add(A.Value.Embedding(ids).Linear(B).Scale(scale)) : y;
    }

    public IEnumerable<Parameter> Parameters() => [A, B];

    public IEnumerable<PeftSlot> Slots() => [PeftSlot.Of(A) with { Transposed = true }, PeftSlot.Of(B)];

    public IEnumerable<Parameter> Merged() => [embedding.Weight];

    public void Attach(bool on) => embedding.Adapter = on ? this : null;

    public void Merge()
    {
        if (original is not null)
            return;
        var weight = embedding.Weight.Value;
        original = FullLayer.Copy(weight);
        using var scope = TensorScope.Begin();
        var sum = Tensor.From(weight.ToArray(), weight.Shape, Device.Cpu);
        Tensor a = A.Value.To(Device.Cpu), b = B.Value.To(Device.Cpu);
        var (rows, n, rank) = (sum.Shape[0], sum.Shape[1], a.Shape[1]);
        Gemm.Run(
            false, true, rows, n, rank, scale, a.Pointer<float>(), rank, b.Pointer<float>(), rank, 1,
            sum.Pointer<float>(), n);
        weight.Put(sum);
    }

    public void Unmerge()
    {
        if (original is null)
            return;
        embedding.Weight.Value.CopyFrom(original);
        original.Dispose();
        original = null;
    }

    public void Dispose()
    {
        A.Dispose();
        B.Dispose();
        original?.Dispose();
    }
}
