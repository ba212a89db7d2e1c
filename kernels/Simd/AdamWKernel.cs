using System.Numerics;
using System.Runtime.CompilerServices;
using static CudaLora.Kernels.Simd.VectorMath;

namespace CudaLora.Kernels.Simd;

/// <summary>Settings of one AdamW step (Loshchilov and Hutter 2017), as in torch.optim.AdamW.</summary>
/// <param name="LearningRate">Step size.</param>
/// <param name="Beta1">Decay of the first moment.</param>
/// <param name="Beta2">Decay of the second moment.</param>
/// <param name="Epsilon">Added to the root of the corrected second moment.</param>
/// <param name="WeightDecay">Decoupled: p *= 1 - lr wd before the step.</param>
/// <param name="Step">1 for the first step.</param>
/// <param name="GradientScale">Factor on the gradient: the clip coefficient.</param>
public readonly record struct AdamWStep(
    double LearningRate, double Beta1, double Beta2, double Epsilon, double WeightDecay, int Step,
    double GradientScale = 1);

/// <summary>AdamW over flat arrays.</summary>
public static unsafe class AdamWKernel
{
    /// <summary>
    /// With g scaled: m += (1 - b1)(g - m); v = b2 v + (1 - b2) g^2;
    /// p = p (1 - lr wd) - lr / (1 - b1^t) m / (sqrt(v / (1 - b2^t)) + eps). Updates p, m and v in place.
    /// </summary>
    public static void Step(float* p, float* g, float* m, float* v, long n, in AdamWStep step)
    {
        var body = new Body
        {
            P = p,
            G = g,
            M = m,
            V = v,
            N = n,
            Keep = (float)(1 - step.LearningRate * step.WeightDecay),
            Rate = (float)(-step.LearningRate / (1 - Math.Pow(step.Beta1, step.Step))),
            Blend1 = (float)(1 - step.Beta1),
            Beta2 = (float)step.Beta2,
            Blend2 = (float)(1 - step.Beta2),
            InverseRoot = (float)(1 / Math.Sqrt(1 - Math.Pow(step.Beta2, step.Step))),
            Epsilon = (float)step.Epsilon,
            Scale = (float)step.GradientScale,
        };
        Workers.Run(ref body, Split.Items(n, Split.Grain));
    }

    private struct Body : IParallelBody
    {
        public float* P, G, M, V;
        public long N;
        public float Keep, Rate, Blend1, Beta2, Blend2, InverseRoot, Epsilon, Scale;

        public readonly void Execute(int item)
        {
            var end = Math.Min(N, ((long)item + 1) * Split.Grain);
            var i = (long)item * Split.Grain;
            for (; i <= end - Vectors.Width; i += Vectors.Width)
                Update(i, Vectors.Width);
            if (i < end)
                Update(i, (int)(end - i));
        }

        [MethodImpl(MethodImplOptions.AggressiveInlining)]
        private readonly void Update(long i, int lanes)
        {
            var g = Vectors.Load(G + i, lanes) * Of(Scale);
            var m = Vectors.Load(M + i, lanes);
            m = Fma(g - m, Of(Blend1), m);
            var v = Fma(g * g, Of(Blend2), Vectors.Load(V + i, lanes) * Of(Beta2));
            var root = Fma(Vector.SquareRoot(v), Of(InverseRoot), Of(Epsilon));
            var p = Vectors.Load(P + i, lanes) * Of(Keep);
            Vectors.Store(Fma(m / root, Of(Rate), p), P + i, lanes);
            Vectors.Store(m, M + i, lanes);
            Vectors.Store(v, V + i, lanes);
        }
    }
}
