using CudaLora.Kernels.Emulator;
using CudaLora.Kernels.Ops;
using CudaLora.Kernels.Runtime;
using CudaLora.Lora;

namespace CudaLora.Tests;

/// <summary>Draws on the device are those of the host's sampler, token by token.</summary>
public sealed class SamplingTests : IDisposable
{
    private const int Rows = 5, FirstRow = 3;

    private readonly EmulatedDriver driver = new();
    private readonly CudaContext context;

    public SamplingTests() => context = CudaContext.Open(driver);

    public void Dispose()
    {
        context.Dispose();
        driver.Dispose();
    }

    [Theory]
    [InlineData(1, 0, 1)]
    [InlineData(0.3, 0, 1)]
    [InlineData(1, 5, 1)]
    [InlineData(1.5, 0, 0.9)]
    [InlineData(0.8, 40, 0.9)]
    [InlineData(1, 2, 0.01)]
    [InlineData(2, 1200, 0.999)]
    public void ADrawIsTheHosts(double temperature, int topK, double topP)
    {
        var options = new SamplingOptions { Temperature = temperature, TopK = topK, TopP = topP, Seed = 0xfedcba9876 };
        var sampler = new Sampler(options);
        foreach (int vocabulary in new[] { 3, 257, 1500, 4100 })
        {
            float[] logits = Logits(vocabulary);
            foreach (int step in new[] { 0, 77 })
            {
                int[] expected =
                [
                    .. Enumerable.Range(0, Rows).Select(
                        r => sampler.Next(logits.AsSpan(r * vocabulary, vocabulary), FirstRow + r, step)),
                ];
                Assert.Equal(expected, Draw(logits, vocabulary, options, step));
            }
        }
    }

    [Fact]
    public void MaskedTokensAreNeverDrawn()
    {
        // All but one token of each row have probability nothing.
        var logits = new float[Rows * 50];
        Array.Fill(logits, float.NegativeInfinity);
        for (int r = 0; r < Rows; r++) logits[r * 50 + 7 + r] = -3;
        int[] only = [.. Enumerable.Range(7, Rows)];
        foreach (SamplingOptions options in new SamplingOptions[] { new(), new() { TopK = 20 }, new() { TopP = 0.5 } })
            Assert.Equal(only, Draw(logits, 50, options, 4));
    }

    private int[] Draw(float[] logits, int vocabulary, SamplingOptions options, int step)
    {
        using DeviceBuffer<float> on = context.Memory.Upload<float>(logits);
        using DeviceBuffer<int> ids = context.Memory.Allocate<int>(Rows), stepOn = context.Memory.Upload<int>([step]);
        (double heat, int topK, double topP) = (options.Temperature, options.TopK, options.TopP);
        ulong from = on.Pointer.Address;
        if ((topK == 0 || topK >= vocabulary) && topP == 1)
        {
            Sampling.All(
                context.Stream, Rows,
                new(from, ids.Pointer, stepOn.Pointer, options.Seed, heat, vocabulary, FirstRow), bf16: false);
            return ids.ToArray();
        }
        int capacity = Sampling.Capacity(vocabulary);
        using DeviceBuffer<ulong> keys = context.Memory.Allocate<ulong>((long)Rows * capacity);
        using DeviceBuffer<byte> notes = context.Memory.Allocate<byte>(Rows * Sampling.NoteBytes);
        Sampling.Candidates(
            context.Stream, Rows, new(from, keys.Pointer, notes.Pointer, heat, topP, vocabulary, topK, capacity),
            bf16: false);
        Sampling.Pick(
            context.Stream, Rows,
            new(from, ids.Pointer, keys.Pointer, notes.Pointer, stepOn.Pointer, options.Seed, heat, topP, vocabulary,
                FirstRow, topK, capacity),
            bf16: false);
        return ids.ToArray();
    }

    // Numbers for trying kernels, not secrets.
#pragma warning disable CA5394
    private static float[] Logits(int vocabulary)
    {
        var random = new Random(vocabulary);
        // Every third value on a coarse grid: equal logits, whose order is that of their ids.
        return
        [
            .. Enumerable.Range(0, Rows * vocabulary).Select(
                i => (float)(i % 3 == 0 ? Math.Round(4 * random.NextDouble()) : 12 * random.NextDouble() - 6)),
        ];
    }
#pragma warning restore CA5394
}
