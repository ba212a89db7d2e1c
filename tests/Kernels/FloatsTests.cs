using System.Numerics;
using CudaLora.Kernels.Simd;

namespace CudaLora.Tests.Kernels;

/// <summary>The wide registers against the runtime's own, whose functions are held to double elsewhere.</summary>
public unsafe class FloatsTests
{
    // Overflow, subnormal results, both branches of tanh, and what is no number.
    private static readonly float[] Inputs =
    [
        .. Enumerable.Range(0, 40_000).Select(i => -110f + (i * 0.005f)),
        .. Enumerable.Range(0, 8_000).Select(i => -2f + (i * 0.0005f)),
        0f, float.NegativeZero, float.NaN, float.PositiveInfinity, float.NegativeInfinity, float.Epsilon, 1e-38f,
        float.MaxValue,
    ];

    [Fact]
    public void FunctionsOfSixteenLanes_HaveTheBitsOfTheOthers()
    {
        Assert.SkipUnless(Floats512.IsSupported, "needs AVX-512");
        var wide = stackalloc float[16];
        for (var i = 0; i < Inputs.Length; i += 16)
        {
            var count = Math.Min(16, Inputs.Length - i);
            fixed (float* input = &Inputs[i])
            {
                var x = Floats512.Load(input, count);
                VectorMath.Exp(x).Store(wide);
                Check(i, count, wide, VectorMath.Exp);
                VectorMath.Sigmoid(x).Store(wide);
                Check(i, count, wide, VectorMath.Sigmoid);
                VectorMath.Tanh(x).Store(wide);
                Check(i, count, wide, VectorMath.Tanh);
            }
        }
    }

    [Fact]
    public void PartsOfARegister_TouchNothingElse()
    {
        Part<FloatsAny>();
        if (Floats512.IsSupported)
            Part<Floats512>();
    }

    private static void Part<T>()
        where T : struct, IFloats<T>
    {
        float* from = stackalloc float[T.Width + 1];
        float* to = stackalloc float[T.Width + 1];
        for (var count = 0; count <= T.Width; count++)
        {
            for (var i = 0; i <= T.Width; i++)
                (from[i], to[i]) = (i + 1, -1);
            var loaded = T.Load(from, count);
            Assert.Equal(count * (count + 1) / 2, T.Sum(loaded));
            loaded.Store(to, count);
            for (var i = 0; i <= T.Width; i++)
                Assert.Equal(i < count ? i + 1 : -1, to[i]);
        }
    }

    private static void Check(int first, int count, float* wide, Func<Vector<float>, Vector<float>> function)
    {
        for (var i = 0; i < count; i++)
            Assert.Equal(function(new Vector<float>(Inputs[first + i]))[0], wide[i]);
    }
}
