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
        FloatsLoop.Run(body, Split.Items(n, Split.Grain));
    }

    private struct Body : IFloatsBody
    {
        public float* P, G, M, V;
        public long N;
        public float Keep, Rate, Blend1, Beta2, Blend2, InverseRoot, Epsilon, Scale;

        [MethodImpl(MethodImplOptions.NoInlining)]
        public readonly void Execute<T>(int item)
            where T : struct, IFloats<T>
        {
            var end = Math.Min(N, ((long)item + 1) * Split.Grain);
            var i = (long)item * Split.Grain;
            for (; i <= end - T.Width; i += T.Width)
                Update<T>(i, T.Width);
            if (i < end)
                Update<T>(i, (int)(end - i));
        }

        [MethodImpl(MethodImplOptions.AggressiveInlining)]
        private readonly void Update<T>(long i, int lanes)
            where T : struct, IFloats<T>
        {
            var g = T.Load(G + i, lanes) * T.Of(Scale);
            var m = T.Load(M + i, lanes);
            m = T.Fma(g - m, T.Of(Blend1), m);
            var v = T.Fma(g * g, T.Of(Blend2), T.Load(V + i, lanes) * T.Of(Beta2));
            var root = T.Fma(T.SquareRoot(v), T.Of(InverseRoot), T.Of(Epsilon));
            var p = T.Load(P + i, lanes) * T.Of(Keep);
            T.Fma(m / root, T.Of(Rate), p).Store(P + i, lanes);
            m.Store(M + i, lanes);
            v.Store(V + i, lanes);
        }
    }
}
