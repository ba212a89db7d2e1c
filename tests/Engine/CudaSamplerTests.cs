using CudaLora.Engine;
using CudaLora.Lora;
using CudaLora.Tests.Ops;

namespace CudaLora.Tests.Engine;

public class CudaSamplerTests
{
    private const int Rows = 3, Vocabulary = 300;

    private static int[] OnHost(float[] logits, SamplingOptions options, int step)
    {
        var sampler = new Sampler(options);
        return
        [
            .. Enumerable.Range(0, Rows)
                .Select(r => sampler.Next(logits.AsSpan(r * Vocabulary, Vocabulary), r, step)),
        ];
    }

    [Theory, OnCudaDevices]
    public void Draws_AreTheHosts(string device)
    {
        using var scope = OpCheck.On(device);
        foreach (var logits in new[] { OpCheck.Leaf(1, Rows, Vocabulary), OpCheck.Bf16Leaf(2, Rows, Vocabulary) })
        {
            foreach (var options in new SamplingOptions[]
            {
                new() { Temperature = 0 }, new() { TopK = 1 }, new() { Temperature = 0.7 }, new() { TopK = 20 },
                new() { TopK = Vocabulary }, new() { TopK = 50, TopP = 0.8 }, new() { TopP = 0.9, Seed = 7 },
            })
            {
                using var sampler = new CudaSampler(
                    (CudaDevice)Device.Default,
                    new SamplingRule(options.Temperature, options.TopK, options.TopP, options.Seed), Rows, Vocabulary);
                foreach (var step in new[] { 0, 1, 9 })
                {
                    sampler.SetStep(step);
                    sampler.Queue(logits);
                    Assert.Equal(OnHost(logits.ToArray(), options, step), sampler.Read().ToArray());
                }
            }
        }
    }

    [Theory, OnCudaDevices]
    public void Mistakes_AreNamed(string device)
    {
        using var scope = OpCheck.On(device);
        var cuda = (CudaDevice)Device.Default;
        var error = Assert.Throws<ArgumentException>(() => new CudaSampler(cuda, new(1, 0, 0, 1), 1, 5));
        Assert.Equal(
            "[sampler] temperature and top-k must be at least 0 and top-p in (0, 1], but got 1, 0 and 0",
            error.Message);
        using var sampler = new CudaSampler(cuda, new(1, 0, 1, 1), 2, 5);
        error = Assert.Throws<ArgumentException>(() => sampler.Queue(OpCheck.Leaf(1, 2, 4)));
        Assert.StartsWith("[sampler] logits must be (2, 5) on ", error.Message, StringComparison.Ordinal);
    }
}
