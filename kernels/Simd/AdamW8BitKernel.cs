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
            Workers.Run(ref body, Split.Items(n, ItemBlocks * BlockSize));
        }
    }

    private struct Body : IParallelBody
    {
        public float* P, G, MScale, VScale, Signed, Unsigned;
        public byte* M, V;
        public long N;
        public float Beta1, Beta2, Rate, Epsilon, Keep, Scale;

        public readonly void Execute(int item)
        {
            long end = Math.Min(N, (item + 1L) * ItemBlocks * BlockSize);
            for (long first = (long)item * ItemBlocks * BlockSize; first < end; first += BlockSize)
                Block(first, (int)Math.Min(BlockSize, end - first));
        }

        private readonly void Block(long first, int count)
        {
            float* moment1 = stackalloc float[BlockSize];
            float* moment2 = stackalloc float[BlockSize];
            float* p = P + first, g = G + first;
            byte* m = M + first, v = V + first;
            ref float scale1 = ref MScale[first / BlockSize];
            ref float scale2 = ref VScale[first / BlockSize];
            float largest1 = 0, largest2 = 0;
            for (int i = 0; i < count; i++)
            {
                float gradient = g[i] * Scale;
                float m1 = 0, m2 = 0;
                if (float.IsFinite(gradient))
                {
                    m1 = (Beta1 * Signed[m[i]] * scale1) + ((1 - Beta1) * gradient);
                    m2 = (Beta2 * Unsigned[v[i]] * scale2) + ((1 - Beta2) * gradient * gradient);
                    p[i] = (p[i] + (Rate * m1 / (MathF.Sqrt(m2) + Epsilon))) * Keep;
                }
                (moment1[i], moment2[i]) = (m1, m2);
                largest1 = Math.Max(largest1, MathF.Abs(m1));
                largest2 = Math.Max(largest2, m2);
            }
            (scale1, scale2) = (largest1, largest2);
            float inverse1 = 1 / Math.Max(largest1, Smallest), inverse2 = 1 / Math.Max(largest2, Smallest);
            for (int i = 0; i < count; i++)
            {
                int code = DynamicQuantize.Code(moment1[i] * inverse1, Signed);
                // A moment that is coded on the other side of zero would push the wrong way.
                if (float.IsNegative(Signed[code]) != float.IsNegative(moment1[i]))
                    code += moment1[i] > 0 ? 1 : -1;
                m[i] = (byte)Math.Clamp(code, 0, 255);
                v[i] = (byte)DynamicQuantize.Code(moment2[i] * inverse2, Unsigned);
            }
        }
    }
}
