using System.Runtime.CompilerServices;
using System.Runtime.Intrinsics;
using System.Runtime.Intrinsics.X86;

namespace CudaLora.Kernels.Simd;

/// <summary>Sixteen floats: AVX-512.</summary>
internal readonly unsafe struct Floats512 : IFloats<Floats512>
{
    private readonly Vector512<float> value;

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private Floats512(Vector512<float> value) => this.value = value;

    public static bool IsSupported
    {
        [MethodImpl(MethodImplOptions.AggressiveInlining)]
        get => Vector512.IsHardwareAccelerated && Avx512F.IsSupported;
    }

    public static int Width
    {
        [MethodImpl(MethodImplOptions.AggressiveInlining)]
        get => 16;
    }

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Floats512 Of(float value) => new(Vector512.Create(value));

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Floats512 Load(float* source) => new(Vector512.Load(source));

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Floats512 Load(float* source, int count) =>
        count == 16 ? Load(source) : new(Avx512F.MaskLoad(source, Lowest(count), Vector512<float>.Zero));

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public void Store(float* target) => value.Store(target);

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public void Store(float* target, int count)
    {
        if (count == 16)
            value.Store(target);
        else
            Avx512F.MaskStore(target, Lowest(count), value);
    }

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Floats512 operator +(Floats512 x, Floats512 y) => new(x.value + y.value);

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Floats512 operator -(Floats512 x, Floats512 y) => new(x.value - y.value);

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Floats512 operator *(Floats512 x, Floats512 y) => new(x.value * y.value);

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Floats512 operator /(Floats512 x, Floats512 y) => new(x.value / y.value);

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Floats512 operator -(Floats512 x) => new(-x.value);

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Floats512 Fma(Floats512 x, Floats512 y, Floats512 z) =>
        new(Vector512.MultiplyAddEstimate(x.value, y.value, z.value));

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Floats512 SquareRoot(Floats512 x) => new(Vector512.Sqrt(x.value));

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Floats512 Abs(Floats512 x) => new(Vector512.Abs(x.value));

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Floats512 Min(Floats512 x, Floats512 y) => new(Vector512.MinNative(x.value, y.value));

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Floats512 Max(Floats512 x, Floats512 y) => new(Vector512.MaxNative(x.value, y.value));

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Floats512 Below(Floats512 x, Floats512 limit, Floats512 yes, Floats512 no) =>
        new(Vector512.ConditionalSelect(Vector512.LessThan(x.value, limit.value), yes.value, no.value));

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Floats512 CopySign(Floats512 magnitude, Floats512 sign) =>
        new(Vector512.ConditionalSelect(Vector512.Create(-0f), sign.value, magnitude.value));

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Floats512 TimesPowerOfTwo(Floats512 x, Floats512 shifted) =>
        new(Avx512F.Scale(x.value, shifted.value - Vector512.Create(FloatsAny.RoundMagic)));

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static float Sum(Floats512 x) => Lanes512.Sum(x.value);

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static float Highest(Floats512 x) => Lanes512.Highest(x.value);

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static Vector512<float> Lowest(int count) =>
        Vector512.LessThan(Vector512<int>.Indices, Vector512.Create(count)).AsSingle();
}
