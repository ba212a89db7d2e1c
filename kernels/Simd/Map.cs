using System.Numerics;
using System.Runtime.CompilerServices;

namespace CudaLora.Kernels.Simd;

/// <summary>y = f(x), one register at a time.</summary>
internal interface IMap1
{
    Vector<float> Apply(Vector<float> x);
}

/// <summary>y = f(a, b), one register at a time.</summary>
internal interface IMap2
{
    Vector<float> Apply(Vector<float> a, Vector<float> b);
}

/// <summary>Elementwise loops over flat arrays; y may be one of the inputs.</summary>
internal static unsafe class Map
{
    public static void Run<TMap>(TMap map, float* x, float* y, long n, bool accumulate) where TMap : struct, IMap1
    {
        var body = new Body1<TMap> { Map = map, X = x, Y = y, N = n, Accumulate = accumulate };
        Workers.Run(ref body, Split.Items(n, Split.Grain));
    }

    public static void Run<TMap>(TMap map, float* a, float* b, float* y, long n, bool accumulate)
        where TMap : struct, IMap2
    {
        var body = new Body2<TMap> { Map = map, A = a, B = b, Y = y, N = n, Accumulate = accumulate };
        Workers.Run(ref body, Split.Items(n, Split.Grain));
    }

    private struct Body1<TMap> : IParallelBody where TMap : struct, IMap1
    {
        public TMap Map;
        public float* X, Y;
        public long N;
        public bool Accumulate;

        public void Execute(int item)
        {
            var start = (long)item * Split.Grain;
            var n = (int)Math.Min(Split.Grain, N - start);
            float* x = X + start, y = Y + start;
            var i = 0;
            if (Accumulate)
            {
                for (; i <= n - Vectors.Width; i += Vectors.Width)
                    (Vector.Load(y + i) + Map.Apply(Vector.Load(x + i))).Store(y + i);
            }
            else
            {
                for (; i <= n - Vectors.Width; i += Vectors.Width)
                    Map.Apply(Vector.Load(x + i)).Store(y + i);
            }
            if (i < n)
                Vectors.Put(Map.Apply(Vectors.Load(x + i, n - i)), y + i, n - i, Accumulate);
        }
    }

    private struct Body2<TMap> : IParallelBody where TMap : struct, IMap2
    {
        public TMap Map;
        public float* A, B, Y;
        public long N;
        public bool Accumulate;

        public void Execute(int item)
        {
            var start = (long)item * Split.Grain;
            var n = (int)Math.Min(Split.Grain, N - start);
            Row(Map, A + start, B + start, Y + start, n, Accumulate);
        }
    }

    /// <summary>One contiguous run of y = f(a, b).</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static void Row<TMap>(TMap map, float* a, float* b, float* y, int n, bool accumulate)
        where TMap : struct, IMap2
    {
        var i = 0;
        if (accumulate)
        {
            for (; i <= n - Vectors.Width; i += Vectors.Width)
                (Vector.Load(y + i) + map.Apply(Vector.Load(a + i), Vector.Load(b + i))).Store(y + i);
        }
        else
        {
            for (; i <= n - Vectors.Width; i += Vectors.Width)
                map.Apply(Vector.Load(a + i), Vector.Load(b + i)).Store(y + i);
        }
        if (i < n)
            Vectors.Put(map.Apply(Vectors.Load(a + i, n - i), Vectors.Load(b + i, n - i)), y + i, n - i, accumulate);
    }
}
