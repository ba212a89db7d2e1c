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
        FloatsLoop.Run(body, checked(Split.Items(runs, body.RunsPerItem) * pieces));
    }

    private struct Body<TMap> : IFloatsBody where TMap : struct, IMap2
    {
        public BroadcastPlan Plan;
        public float* A, B, Y;
        public bool Accumulate;
        public int Pieces, RunsPerItem;
        public long Runs;

        [MethodImpl(MethodImplOptions.NoInlining)]
        public readonly void Execute<T>(int item)
            where T : struct, IFloats<T>
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
                    Map.Row<TMap, T>(default, a, b, y, n, Accumulate);
                else
                    RowWithScalar<T>(a, stepA == 0, b, stepB == 0, y, n);
            }
        }

        [MethodImpl(MethodImplOptions.AggressiveInlining)]
        private readonly void RowWithScalar<T>(float* a, bool fixedA, float* b, bool fixedB, float* y, int n)
            where T : struct, IFloats<T>
        {
            T va = T.Of(*a), vb = T.Of(*b);
            var i = 0;
            for (; i <= n - T.Width; i += T.Width)
                Step(fixedA ? va : T.Load(a + i), fixedB ? vb : T.Load(b + i), y + i, T.Width);
            if (i == n)
                return;
            if (!fixedA)
                va = T.Load(a + i, n - i);
            if (!fixedB)
                vb = T.Load(b + i, n - i);
            Step(va, vb, y + i, n - i);
        }

        [MethodImpl(MethodImplOptions.AggressiveInlining)]
        private readonly void Step<T>(T a, T b, float* y, int lanes)
            where T : struct, IFloats<T> =>
            Vectors.Put(default(TMap).Apply(a, b), y, lanes, Accumulate);
    }

    private readonly struct AddMap : IMap2
    {
        public T Apply<T>(T a, T b)
            where T : struct, IFloats<T> => a + b;
    }

    private readonly struct SubMap : IMap2
    {
        public T Apply<T>(T a, T b)
            where T : struct, IFloats<T> => a - b;
    }

    private readonly struct MulMap : IMap2
    {
        public T Apply<T>(T a, T b)
            where T : struct, IFloats<T> => a * b;
    }

    private readonly struct DivMap : IMap2
    {
        public T Apply<T>(T a, T b)
            where T : struct, IFloats<T> => a / b;
    }

    private readonly struct NegDivMap : IMap2
    {
        public T Apply<T>(T a, T b)
            where T : struct, IFloats<T> => -(a / b);
    }
}
