using CudaLora.Engine;

namespace CudaLora.Lora;

/// <summary>First values of A and B (PEFT's <c>init_lora_weights</c>).</summary>
internal static class LoraInitializers
{
    /// <summary>A (r, in) and B (out, r), F32 on <paramref name="device"/>, outside any scope.</summary>
    public static (Tensor A, Tensor B) Draw(
        LoraInit init, int rank, int inFeatures, int outFeatures, Generator random, Device device)
    {
        var source = new DeviceParameters(new RandomParameters(random), device, DType.F32);
        var a = init == LoraInit.Gaussian
            ? Initializer.Normal(1f / rank)
            : Initializer.KaimingUniform(inFeatures);
        var b = init == LoraInit.Random ? Initializer.KaimingUniform(rank) : Initializer.Zeros;
        return (
            source.Get(default, Shape.Of(rank, inFeatures), a),
            source.Get(default, Shape.Of(outFeatures, rank), b));
    }
}
