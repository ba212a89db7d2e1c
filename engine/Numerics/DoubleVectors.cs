using System.Numerics;
using System.Runtime.InteropServices;

namespace CudaLora.Engine;

/// <summary>What the decompositions do to columns of double precision.</summary>
internal static class DoubleVectors
{
    /// <summary>Σ x y.</summary>
    public static double Dot(ReadOnlySpan<double> x, ReadOnlySpan<double> y)
    {
        var vx = MemoryMarshal.Cast<double, Vector<double>>(x);
        var vy = MemoryMarshal.Cast<double, Vector<double>>(y);
        var (even, odd) = (Vector<double>.Zero, Vector<double>.Zero);
        var i = 0;
        for (; i + 1 < vx.Length; i += 2)
        {
            even += vx[i] * vy[i];
            odd += vx[i + 1] * vy[i + 1];
        }
        if (i < vx.Length)
            even += vx[i] * vy[i];
        var sum = Vector.Sum(even + odd);
        for (i = vx.Length * Vector<double>.Count; i < x.Length; i++)
            sum += x[i] * y[i];
        return sum;
    }

    /// <summary>√Σ x².</summary>
    public static double Norm(ReadOnlySpan<double> x) => Math.Sqrt(Dot(x, x));

    /// <summary>y += a x.</summary>
    public static void AddScaled(double a, ReadOnlySpan<double> x, Span<double> y)
    {
        var vx = MemoryMarshal.Cast<double, Vector<double>>(x);
        var vy = MemoryMarshal.Cast<double, Vector<double>>(y);
        for (var i = 0; i < vx.Length; i++)
            vy[i] += a * vx[i];
        for (var i = vx.Length * Vector<double>.Count; i < x.Length; i++)
            y[i] += a * x[i];
    }

    /// <summary>x *= a.</summary>
    public static void Scale(double a, Span<double> x)
    {
        foreach (ref var value in x)
            value *= a;
    }

    /// <summary>(x, y) = (c x - s y, s x + c y).</summary>
    public static void Rotate(Span<double> x, Span<double> y, double c, double s)
    {
        var vx = MemoryMarshal.Cast<double, Vector<double>>(x);
        var vy = MemoryMarshal.Cast<double, Vector<double>>(y);
        for (var i = 0; i < vx.Length; i++)
            (vx[i], vy[i]) = ((c * vx[i]) - (s * vy[i]), (s * vx[i]) + (c * vy[i]));
        for (var i = vx.Length * Vector<double>.Count; i < x.Length; i++)
            (x[i], y[i]) = ((c * x[i]) - (s * y[i]), (s * x[i]) + (c * y[i]));
    }
}
