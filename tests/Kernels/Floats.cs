using System.Runtime.InteropServices;

namespace CudaLora.Tests.Kernels;

/// <summary>Native floats for kernels, with canaries on both sides that are checked on disposal.</summary>
internal sealed unsafe class Floats : IDisposable
{
    private const int Margin = 16;
    private const float Canary = -7.25e-33f;
    private readonly float* memory;

    public Floats(int length)
    {
        Length = length;
        memory = (float*)NativeMemory.Alloc((nuint)(length + 2 * Margin), sizeof(float));
        new Span<float>(memory, length + 2 * Margin).Fill(Canary);
        Span.Fill(float.NaN);
    }

    public int Length { get; }

    public float* P => memory + Margin;

    public Span<float> Span => new(P, Length);

    public float this[int i] => P[i];

    public static Floats Of(params ReadOnlySpan<float> values)
    {
        var f = new Floats(values.Length);
        values.CopyTo(f.Span);
        return f;
    }

    public static Floats Random(int length, int seed, float low = -2f, float high = 2f)
    {
        var f = new Floats(length);
        var random = new Random(seed);
        foreach (ref var v in f.Span)
            v = low + (high - low) * random.NextSingle();
        return f;
    }

    public Floats Copy() => Of(Span);

    public double[] Doubles()
    {
        var d = new double[Length];
        for (var i = 0; i < Length; i++)
            d[i] = P[i];
        return d;
    }

    public void Dispose()
    {
        var intact = true;
        for (var i = 0; i < Margin; i++)
            intact &= memory[i] == Canary && memory[Margin + Length + i] == Canary;
        NativeMemory.Free(memory);
        Assert.True(intact, "a kernel wrote outside its buffer");
    }
}
