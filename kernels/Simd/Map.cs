using System.Runtime.CompilerServices;

namespace CudaLora.Kernels.Simd;

/// <summary>y = f(x), one register at a time.</summary>
internal interface IMap1
{
    T Apply<T>(T x)
        where T : struct, IFloats<T>;
}

/// <summary>y = f(a, b), one register at a time.</summary>
internal interface IMap2
{
    T Apply<T>(T a, T b)
        where T : struct, IFloats<T>;
}

/// <summary>Elementwise loops over flat arrays; y may be one of the inputs.</summary>
internal static unsafe class Map
{
    public static void Run<TMap>(TMap map, float* x, float* y, long n, bool accumulate)
        where TMap : struct, IMap1 =>
        FloatsLoop.Run(
            new Body1<TMap> { Map = map, X = x, Y = y, N = n, Accumulate = accumulate }, Split.Items(n, Split.Grain));

    public static void Run<TMap>(TMap map, float* a, float* b, float* y, long n, bool accumulate)
        where TMap : struct, IMap2 =>
        FloatsLoop.Run(
            new Body2<TMap> { Map = map, A = a, B = b, Y = y, N = n, Accumulate = accumulate },
            Split.Items(n, Split.Grain));

    private struct Body1<TMap> : IFloatsBody where TMap : struct, IMap1
    {
        public TMap Map;
        public float* X, Y;
        public long N;
        public bool Accumulate;

        [MethodImpl(MethodImplOptions.NoInlining)]
        public void Execute<T>(int item)
            where T : struct, IFloats<T>
        {
            var start = (long)item * Split.Grain;
            var n = (int)Math.Min(Split.Grain, N - start);
            float* x = X + start, y = Y + start;
            var i = 0;
            for (; i <= n - T.Width; i += T.Width)
                Vectors.Put(Map.Apply(T.Load(x + i)), y + i, T.Width, Accumulate);
            if (i < n)
                Vectors.Put(Map.Apply(T.Load(x + i, n - i)), y + i, n - i, Accumulate);
        }
    }

    private struct Body2<TMap> : IFloatsBody where TMap : struct, IMap2
    {
        public TMap Map;
        public float* A, B, Y;
        public long N;
        public bool Accumulate;

        [MethodImpl(MethodImplOptions.NoInlining)]
        public void Execute<T>(int item)
            where T : struct, IFloats<T>
        {
            var start = (long)item * Split.Grain;
            var n = (int)Math.Min(Split.Grain, N - start);
            Row<TMap, T>(Map, A + start, B + start, Y + start, n, Accumulate);
        }
    }

    /// <summary>One contiguous run of y = f(a, b).</summary>
    [MethodImpl(MethodImplOptions.NoInlining)]
    public static void Row<TMap, T>(TMap map, float* a, float* b, float* y, int n, bool accumulate)
        where TMap : struct, IMap2
        where T : struct, IFloats<T>
    {
        var i = 0;
        for (; i <= n - T.Width; i += T.Width)
            Vectors.Put(map.Apply(T.Load(a + i), T.Load(b + i)), y + i, T.Width, accumulate);
        if (i < n)
            Vectors.Put(map.Apply(T.Load(a + i, n - i), T.Load(b + i, n - i)), y + i, n - i, accumulate);
    }
}
