using System.Numerics;
using System.Runtime.CompilerServices;

namespace CudaLora.Kernels.Simd;

/// <summary>y (+)= a op b with broadcast; y is dense in the plan's shape and may be an operand of that shape.</summary>
public static unsafe class BinaryKernel
{
    /// <summary>y (+)= a + b.</summary>
    public static void Add(in BroadcastPlan plan, float* a, float* b, float* y, bool accumulate = false) =>
        Run<AddMap>(plan, a, b, y, accumulate);

    /// <summary>y (+)= a - b.</summary>
    public static void Sub(in BroadcastPlan plan, float* a, float* b, float* y, bool accumulate = false) =>
        Run<SubMap>(plan, a, b, y, accumulate);

    /// <summary>y (+)= a b.</summary>
    public static void Mul(in BroadcastPlan plan, float* a, float* b, float* y, bool accumulate = false) =>
        Run<MulMap>(plan, a, b, y, accumulate);

    /// <summary>y (+)= a / b.</summary>
    public static void Div(in BroadcastPlan plan, float* a, float* b, float* y, bool accumulate = false) =>
        Run<DivMap>(plan, a, b, y, accumulate);

    /// <summary>y (+)= -a / b; with a = dy (x / z) and b = z this is the divisor's gradient.</summary>
    public static void NegDiv(in BroadcastPlan plan, float* a, float* b, float* y, bool accumulate = false) =>
        Run<NegDivMap>(plan, a, b, y, accumulate);

    private static void Run<TMap>(in BroadcastPlan plan, float* a, float* b, float* y, bool accumulate)
        where TMap : struct, IMap2
    {
        if (plan.Count == 0)
            return;
        var inner = plan.Size(plan.Rank - 1);
        if (plan.Rank == 1 && plan.StrideA(0) == 1 && plan.StrideB(0) == 1)
        {
            Map.Run(default(TMap), a, b, y, plan.Count, accumulate);
            return;
        }
        // One item is some whole runs of the innermost loop, or a piece of one long run.
        var pieces = Split.Items(inner, Split.Grain);
        var runs = plan.Count / inner;
        var body = new Body<TMap>
        {
            Plan = plan,
            A = a,
            B = b,
            Y = y,
            Accumulate = accumulate,
            Pieces = pieces,
            Runs = runs,
            RunsPerItem = pieces > 1 ? 1 : (int)Math.Max(1, Split.Grain / inner),
        };
        Workers.Run(ref body, checked(Split.Items(runs, body.RunsPerItem) * pieces));
    }

    private struct Body<TMap> : IParallelBody where TMap : struct, IMap2
    {
        public BroadcastPlan Plan;
        public float* A, B, Y;
        public bool Accumulate;
        public int Pieces, RunsPerItem;
        public long Runs;

        public readonly void Execute(int item)
        {
            var last = Plan.Rank - 1;
            var inner = Plan.Size(last);
            long stepA = Plan.StrideA(last), stepB = Plan.StrideB(last);
            var start = item % Pieces * (long)Split.Grain;
            var n = (int)Math.Min(inner - start, Pieces == 1 ? inner : Split.Grain);
            var first = (long)(item / Pieces) * RunsPerItem;
            var end = Math.Min(first + RunsPerItem, Runs);
            for (var run = first; run < end; run++)
            {
                Plan.Locate(run, out var offsetA, out var offsetB);
                float* a = A + offsetA + start * stepA, b = B + offsetB + start * stepB, y = Y + run * inner + start;
                if (stepA != 0 && stepB != 0)
                    Map.Row(default(TMap), a, b, y, n, Accumulate);
                else
                    RowWithScalar(a, stepA == 0, b, stepB == 0, y, n);
            }
        }

        [MethodImpl(MethodImplOptions.AggressiveInlining)]
        private readonly void RowWithScalar(float* a, bool fixedA, float* b, bool fixedB, float* y, int n)
        {
            Vector<float> va = new(*a), vb = new(*b);
            var i = 0;
            for (; i <= n - Vectors.Width; i += Vectors.Width)
                Step(fixedA ? va : Vector.Load(a + i), fixedB ? vb : Vector.Load(b + i), y + i, Vectors.Width);
            if (i == n)
                return;
            if (!fixedA)
                va = Vectors.Load(a + i, n - i);
            if (!fixedB)
                vb = Vectors.Load(b + i, n - i);
            Step(va, vb, y + i, n - i);
        }

        [MethodImpl(MethodImplOptions.AggressiveInlining)]
        private readonly void Step(Vector<float> a, Vector<float> b, float* y, int lanes) =>
            Vectors.Put(default(TMap).Apply(a, b), y, lanes, Accumulate);
    }

    private readonly struct AddMap : IMap2
    {
        public Vector<float> Apply(Vector<float> a, Vector<float> b) => a + b;
    }

    private readonly struct SubMap : IMap2
    {
        public Vector<float> Apply(Vector<float> a, Vector<float> b) => a - b;
    }

    private readonly struct MulMap : IMap2
    {
        public Vector<float> Apply(Vector<float> a, Vector<float> b) => a * b;
    }

    private readonly struct DivMap : IMap2
    {
        public Vector<float> Apply(Vector<float> a, Vector<float> b) => a / b;
    }

    private readonly struct NegDivMap : IMap2
    {
        public Vector<float> Apply(Vector<float> a, Vector<float> b) => -(a / b);
    }
}
