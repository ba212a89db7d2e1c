using System.Numerics;
using System.Runtime.CompilerServices;

namespace CudaLora.Kernels.Simd;

/// <summary>As many floats as the runtime's own vectors hold: eight with AVX2, four with NEON or SSE.</summary>
internal readonly unsafe struct FloatsAny : IFloats<FloatsAny>
{
    /// <summary>Adding 1.5 * 2^23 rounds to the nearest integer, which then sits in the low mantissa bits.</summary>
    public const float RoundMagic = 12582912f;

    private const int RoundBits = 0x4B400000;

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public FloatsAny(Vector<float> value) => Value = value;

    public Vector<float> Value { get; }

    public static int Width
    {
        [MethodImpl(MethodImplOptions.AggressiveInlining)]
        get => Vector<float>.Count;
    }

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static FloatsAny Of(float value) => new(new Vector<float>(value));

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static FloatsAny Load(float* source) => new(Vector.Load(source));

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static FloatsAny Load(float* source, int count) =>
        count == Width ? Load(source) : new(LoadPart(source, count));

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public void Store(float* target) => Value.Store(target);

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public void Store(float* target, int count)
    {
        if (count == Width)
            Value.Store(target);
        else
            StorePart(Value, target, count);
    }

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static FloatsAny operator +(FloatsAny x, FloatsAny y) => new(x.Value + y.Value);

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static FloatsAny operator -(FloatsAny x, FloatsAny y) => new(x.Value - y.Value);

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static FloatsAny operator *(FloatsAny x, FloatsAny y) => new(x.Value * y.Value);

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static FloatsAny operator /(FloatsAny x, FloatsAny y) => new(x.Value / y.Value);

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static FloatsAny operator -(FloatsAny x) => new(-x.Value);

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static FloatsAny Fma(FloatsAny x, FloatsAny y, FloatsAny z) =>
        new(Vector.MultiplyAddEstimate(x.Value, y.Value, z.Value));

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static FloatsAny SquareRoot(FloatsAny x) => new(Vector.SquareRoot(x.Value));

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static FloatsAny Abs(FloatsAny x) => new(Vector.Abs(x.Value));

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static FloatsAny Min(FloatsAny x, FloatsAny y) => new(Vector.MinNative(x.Value, y.Value));

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static FloatsAny Max(FloatsAny x, FloatsAny y) => new(Vector.MaxNative(x.Value, y.Value));

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static FloatsAny Below(FloatsAny x, FloatsAny limit, FloatsAny yes, FloatsAny no) =>
        new(Vector.ConditionalSelect(Vector.LessThan(x.Value, limit.Value), yes.Value, no.Value));

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static FloatsAny CopySign(FloatsAny magnitude, FloatsAny sign) =>
        new(Vector.ConditionalSelect(new Vector<int>(int.MinValue), sign.Value, magnitude.Value));

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static FloatsAny TimesPowerOfTwo(FloatsAny x, FloatsAny shifted)
    {
        // Two factors reach the subnormals and infinity without leaving the exponent field.
        var power = Vector.AsVectorInt32(shifted.Value) - new Vector<int>(RoundBits);
        var half = power >> 1;
        return new(x.Value * PowerOfTwo(half) * PowerOfTwo(power - half));
    }

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static float Sum(FloatsAny x) => Vector.Sum(x.Value);

    public static float Highest(FloatsAny x)
    {
        var best = x.Value[0];
        for (var i = 1; i < Width; i++)
            best = x.Value[i] > best ? x.Value[i] : best;
        return best;
    }

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static Vector<float> PowerOfTwo(Vector<int> n) => Vector.AsVectorSingle((n + new Vector<int>(127)) << 23);

    [MethodImpl(MethodImplOptions.NoInlining)]
    private static Vector<float> LoadPart(float* p, int count)
    {
        var v = Vector<float>.Zero;
        var lanes = (float*)&v;
        for (var i = 0; i < count; i++)
            lanes[i] = p[i];
        return v;
    }

    [MethodImpl(MethodImplOptions.NoInlining)]
    private static void StorePart(Vector<float> v, float* p, int count)
    {
        var lanes = (float*)&v;
        for (var i = 0; i < count; i++)
            p[i] = lanes[i];
    }
}
