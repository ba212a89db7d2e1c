using System.Runtime.CompilerServices;

namespace CudaLora.Kernels.Simd;

/// <summary>
/// AdamW whose moments are 8-bit codes in blocks of 256 with a scale each, as bitsandbytes' block-wise optimiser
/// (Dettmers et al. 2021, arXiv 2110.02861): the first moment over the signed dynamic map, the second over the
/// unsigned.
/// </summary>
public static unsafe class AdamW8BitKernel
{
    /// <summary>Values that share a scale.</summary>
    public const int BlockSize = 256;

    private const float Smallest = 1e-38f;
    private const int ItemBlocks = 16;

    /// <summary>
    /// One step on <paramref name="n"/> values: m = b1 m + (1 - b1) g, v = b2 v + (1 - b2) g^2,
    /// p -= lr √(1 - b2^t) / (1 - b1^t) m / (√v + eps √(1 - b2^t)), then p *= 1 - lr wd; m and v are coded again.
    /// Where a gradient is not finite the moments become zero and p stays.
    /// </summary>
    /// <param name="p">Parameters, updated in place.</param>
    /// <param name="g">Gradients.</param>
    /// <param name="m">Codes of the first moment, one byte per value.</param>
    /// <param name="mScale">Their scales, one per block.</param>
    /// <param name="v">Codes of the second moment.</param>
    /// <param name="vScale">Their scales.</param>
    /// <param name="n">Number of values.</param>
    /// <param name="step">Settings of the step.</param>
    public static void Step(
        float* p, float* g, byte* m, float* mScale, byte* v, float* vScale, long n, in AdamWStep step)
    {
        double root = Math.Sqrt(1 - Math.Pow(step.Beta2, step.Step));
        fixed (float* signed = QuantTables.SignedDynamic, unsigned = QuantTables.UnsignedDynamic)
        {
            var body = new Body
            {
                P = p,
                G = g,
                M = m,
                V = v,
                MScale = mScale,
                VScale = vScale,
                N = n,
                Signed = signed,
                Unsigned = unsigned,
                Beta1 = (float)step.Beta1,
                Beta2 = (float)step.Beta2,
                Rate = (float)(-step.LearningRate * root / (1 - Math.Pow(step.Beta1, step.Step))),
                Epsilon = (float)(step.Epsilon * root),
                Keep = (float)(1 - (step.LearningRate * step.WeightDecay)),
                Scale = (float)step.GradientScale,
            };
            FloatsLoop.Run(body, Split.Items(n, ItemBlocks * BlockSize));
        }
    }

    private struct Body : IFloatsBody
    {
        public float* P, G, MScale, VScale, Signed, Unsigned;
        public byte* M, V;
        public long N;
        public float Beta1, Beta2, Rate, Epsilon, Keep, Scale;

        [MethodImpl(MethodImplOptions.NoInlining)]
        public readonly void Execute<T>(int item)
            where T : struct, IFloats<T>
        {
            float* moment1 = stackalloc float[BlockSize];
            float* moment2 = stackalloc float[BlockSize];
            long end = Math.Min(N, (item + 1L) * ItemBlocks * BlockSize);
            for (long first = (long)item * ItemBlocks * BlockSize; first < end; first += BlockSize)
            {
                int count = (int)Math.Min(BlockSize, end - first);
                Decode(Signed, M + first, moment1, count);
                Decode(Unsigned, V + first, moment2, count);
                if (Update<T>(first, count, moment1, moment2, out float largest1, out float largest2))
                {
                    Normalise<T>(moment1, count, largest1, -1);
                    Normalise<T>(moment2, count, largest2, 0);
                    DynamicCodes.Signed.Encode(moment1, count, M + first);
                    DynamicCodes.Unsigned.Encode(moment2, count, V + first);
                }
                else
                {
                    (largest1, largest2) = EncodeNotFinite(first, count, moment1, moment2);
                }
                MScale[first / BlockSize] = largest1;
                VScale[first / BlockSize] = largest2;
            }
        }

        // The codes' values become new moments. False if one of these is not finite.
        [MethodImpl(MethodImplOptions.AggressiveInlining)]
        private readonly bool Update<T>(
            long first, int count, float* moment1, float* moment2, out float largest1, out float largest2)
            where T : struct, IFloats<T>
        {
            float* p = P + first, g = G + first;
            T scale1 = T.Of(MScale[first / BlockSize]), scale2 = T.Of(VScale[first / BlockSize]);
            T beta1 = T.Of(Beta1), beta2 = T.Of(Beta2), blend1 = T.Of(1 - Beta1), blend2 = T.Of(1 - Beta2);
            T rate = T.Of(Rate), epsilon = T.Of(Epsilon), keep = T.Of(Keep), scale = T.Of(Scale);
            T infinite = T.Of(float.PositiveInfinity), zero = T.Of(0);
            T most1 = zero, most2 = zero, check = zero;
            for (int i = 0; i < count; i += T.Width)
            {
                int lanes = Math.Min(T.Width, count - i);
                // The CUDA kernel's operations in its order, none fused: the same bits.
                T gradient = T.Load(g + i, lanes) * scale, size = T.Abs(gradient), old = T.Load(p + i, lanes);
                T m1 = (beta1 * T.Load(moment1 + i, lanes) * scale1) + (blend1 * gradient);
                T m2 = (beta2 * T.Load(moment2 + i, lanes) * scale2) + (blend2 * gradient * gradient);
                T next = (old + (rate * m1 / (T.SquareRoot(m2) + epsilon))) * keep;
                T.Below(size, infinite, next, old).Store(p + i, lanes);
                m1 = T.Below(size, infinite, m1, zero);
                m2 = T.Below(size, infinite, m2, zero);
                m1.Store(moment1 + i, lanes);
                m2.Store(moment2 + i, lanes);
                most1 = T.Max(most1, T.Abs(m1));
                most2 = T.Max(most2, m2);
                // Zero while all are finite, else not a number from then on.
                check += (m1 * zero) + (m2 * zero);
            }
            (largest1, largest2) = (T.Highest(most1), T.Highest(most2));
            return T.Sum(check) == 0;
        }

        [MethodImpl(MethodImplOptions.AggressiveInlining)]
        private static void Normalise<T>(float* moment, int count, float largest, float least)
            where T : struct, IFloats<T>
        {
            T inverse = T.Of(1 / Math.Max(largest, Smallest)), bottom = T.Of(least);
            for (int i = 0; i < count; i += T.Width)
            {
                int lanes = Math.Min(T.Width, count - i);
                T.Max(T.Load(moment + i, lanes) * inverse, bottom).Store(moment + i, lanes);
            }
        }

        [MethodImpl(MethodImplOptions.AggressiveOptimization)]
        private static void Decode(float* map, byte* codes, float* to, int count)
        {
            int i = 0;
            for (; i <= count - 4; i += 4)
            {
                to[i] = map[codes[i]];
                to[i + 1] = map[codes[i + 1]];
                to[i + 2] = map[codes[i + 2]];
                to[i + 3] = map[codes[i + 3]];
            }
            for (; i < count; i++)
                to[i] = map[codes[i]];
        }

        // A moment overflowed: what is not a number is the scale and gets the lowest code.
        private readonly (float Largest1, float Largest2) EncodeNotFinite(
            long first, int count, float* moment1, float* moment2)
        {
            float largest1 = 0, largest2 = 0;
            for (int i = 0; i < count; i++)
            {
                largest1 = Math.Max(largest1, MathF.Abs(moment1[i]));
                largest2 = Math.Max(largest2, moment2[i]);
            }
            float inverse1 = 1 / Math.Max(largest1, Smallest), inverse2 = 1 / Math.Max(largest2, Smallest);
            for (int i = 0; i < count; i++)
            {
                int code = DynamicQuantize.Code(moment1[i] * inverse1, Signed);
                // A moment that is coded on the other side of zero would push the wrong way.
                if (float.IsNegative(Signed[code]) != float.IsNegative(moment1[i]))
                    code += moment1[i] > 0 ? 1 : -1;
                M[first + i] = (byte)Math.Clamp(code, 0, 255);
                V[first + i] = (byte)DynamicQuantize.Code(moment2[i] * inverse2, Unsigned);
            }
            return (largest1, largest2);
        }
    }
}
