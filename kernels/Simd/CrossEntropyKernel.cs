using System.Runtime.CompilerServices;

namespace CudaLora.Kernels.Simd;

/// <summary>
/// Cross-entropy of logits (rows, cols) against one label per row. The logits' memory becomes their gradient, so they
/// are never held twice. Rows with label -100 give no loss and no gradient.
/// </summary>
public static unsafe class CrossEntropyKernel
{
    /// <summary>The label that takes a row out of the loss.</summary>
    public const int Ignored = -100;

    /// <summary>Number of rows that count.</summary>
    public static int Valid(int* labels, int rows)
    {
        var n = 0;
        for (var r = 0; r < rows; r++)
            n += labels[r] != Ignored ? 1 : 0;
        return n;
    }

    /// <summary>
    /// loss[r] = log(sum(e^logits)) - logits[label], unscaled. Where <paramref name="gradient"/> is set the logits are
    /// overwritten with scale (softmax - onehot(label)); scale is 1 / number of tokens for a mean.
    /// </summary>
    public static void Run(float* logits, int* labels, float* loss, int rows, int cols, float scale, bool gradient)
    {
        var body = new Body
        {
            Logits = logits,
            Labels = labels,
            Loss = loss,
            Rows = rows,
            Cols = cols,
            Scale = scale,
            Gradient = gradient,
        };
        FloatsLoop.Run(body, Split.Items(rows, Split.Rows(cols)));
    }

    private struct Body : IFloatsBody
    {
        public float* Logits, Loss;
        public int* Labels;
        public int Rows, Cols;
        public float Scale;
        public bool Gradient;

        [MethodImpl(MethodImplOptions.NoInlining)]
        public readonly void Execute<T>(int item)
            where T : struct, IFloats<T>
        {
            var first = item * Split.Rows(Cols);
            var end = Math.Min(Rows, first + Split.Rows(Cols));
            for (var r = first; r < end; r++)
            {
                var row = Logits + (long)r * Cols;
                if (Labels[r] != Ignored)
                {
                    Loss[r] = Row<T>(row, Labels[r]);
                    continue;
                }
                Loss[r] = 0f;
                if (Gradient)
                    new Span<float>(row, Cols).Clear();
            }
        }

        private readonly float Row<T>(float* x, int label)
            where T : struct, IFloats<T>
        {
            var logit = x[label];
            float max;
            double sum;
            if (Gradient)
            {
                RowStatistics.Exponentials<T>(x, x, Cols, Scale, out max, out sum);
                x[label] -= Scale;
            }
            else
            {
                RowStatistics.MaxAndSum<T>(x, Cols, out max, out sum);
            }
            return (float)(max - logit + Math.Log(sum));
        }
    }
}
