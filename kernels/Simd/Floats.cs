namespace CudaLora.Kernels.Simd;

/// <summary>
/// A register of floats with operators, so that one text of a row kernel serves every width. <see cref="Floats512"/>
/// where the hardware has it, else <see cref="FloatsAny"/>.
/// </summary>
internal unsafe interface IFloats<T>
    where T : struct, IFloats<T>
{
    /// <summary>Floats per register; a JIT-time constant.</summary>
    static abstract int Width { get; }

    static abstract T Of(float value);

    static abstract T Load(float* source);

    /// <summary>Loads <paramref name="count"/> floats, 0 to Width; the lanes above are zero.</summary>
    static abstract T Load(float* source, int count);

    void Store(float* target);

    /// <summary>Stores the lowest <paramref name="count"/> lanes, 0 to Width.</summary>
    void Store(float* target, int count);

    static abstract T operator +(T x, T y);

    static abstract T operator -(T x, T y);

    static abstract T operator *(T x, T y);

    static abstract T operator /(T x, T y);

    static abstract T operator -(T x);

    /// <summary>x * y + z, fused where the hardware fuses.</summary>
    static abstract T Fma(T x, T y, T z);

    static abstract T SquareRoot(T x);

    static abstract T Abs(T x);

    /// <summary>The smaller; NaN if y is. Where x is NaN it is y or NaN, as the hardware has it.</summary>
    static abstract T Min(T x, T y);

    /// <summary>The larger; NaN as for <see cref="Min"/>.</summary>
    static abstract T Max(T x, T y);

    /// <summary>x &lt; limit ? yes : no, lane by lane.</summary>
    static abstract T Below(T x, T limit, T yes, T no);

    static abstract T CopySign(T magnitude, T sign);

    /// <summary>
    /// x * 2^n, n the integer <paramref name="shifted"/> - 1.5 * 2^23, rounded once; n is at most 254 in magnitude.
    /// </summary>
    static abstract T TimesPowerOfTwo(T x, T shifted);

    static abstract float Sum(T x);

    /// <summary>The largest lane. A NaN may be passed over.</summary>
    static abstract float Highest(T x);
}

/// <summary>A loop body for registers of any width.</summary>
internal interface IFloatsBody
{
    /// <summary>
    /// Computes item <paramref name="item"/>, as <see cref="IParallelBody.Execute"/> does. To be marked as not to be
    /// inlined: what the compiler may inline into a method grows with the method that it begins in, and this wrapper's
    /// would not do for the operators of a long formula.
    /// </summary>
    void Execute<T>(int item)
        where T : struct, IFloats<T>;
}

/// <summary>Runs a body with the widest registers that the hardware has.</summary>
internal static class FloatsLoop
{
    public static void Run<TBody>(TBody body, int items)
        where TBody : struct, IFloatsBody
    {
        if (Floats512.IsSupported)
            Run<TBody, Floats512>(body, items);
        else
            Run<TBody, FloatsAny>(body, items);
    }

    private static void Run<TBody, T>(TBody body, int items)
        where TBody : struct, IFloatsBody
        where T : struct, IFloats<T>
    {
        var wrapped = new Body<TBody, T> { Inner = body };
        Workers.Run(ref wrapped, items);
    }

    private struct Body<TBody, T> : IParallelBody
        where TBody : struct, IFloatsBody
        where T : struct, IFloats<T>
    {
        public TBody Inner;

        public void Execute(int item) => Inner.Execute<T>(item);
    }
}
