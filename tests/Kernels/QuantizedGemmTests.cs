using CudaLora.Kernels.Simd;

namespace CudaLora.Tests.Kernels;

/// <summary>
/// Products with a 4-bit weight against the double-precision product with its values, whatever the way through.
/// </summary>
public unsafe class QuantizedGemmTests
{
    // Rows that start inside a byte, inside a block; few rows and many; blocks of all sizes; nested scales.
    public static TheoryData<int, int, int, int, bool> Shapes => new()
    {
        { 1, 5, 64, 6, false },
        { 1, 300, 256, 6, true },
        { 2, 33, 128, 5, true },
        { 3, 17, 512, 7, false },
        { 4, 20, 256, 8, true },
        { 5, 20, 256, 6, true },
        { 1, 9, 37, 6, false },
        { 7, 13, 61, 6, true },
        { 40, 70, 96, 6, true },
        { 130, 150, 320, 6, true },
        { 200, 64, 1000, 9, false },
    };

    [Theory]
    [MemberData(nameof(Shapes))]
    public void Forward_IsTheProductWithTheValues(int m, int n, int k, int shift, bool nested)
    {
        using var w = new Matrix(n * k, shift, nested);
        var (x, y) = (Nf4Tests.Normal(m * k, 2), Nf4Tests.Normal(m * n, 3));
        var expected = new double[m * n];
        for (var i = 0; i < m; i++)
        {
            for (var j = 0; j < n; j++)
            {
                expected[(i * n) + j] = 0.5 * y[(i * n) + j];
                for (var p = 0; p < k; p++)
                    expected[(i * n) + j] += (double)x[(i * k) + p] * w.Values[(j * k) + p];
            }
        }
        fixed (float* from = x, to = y)
            QuantizedGemm.Forward(w.View, m, n, k, from, 0.5f, to);
        // Sums of k terms near 1 in F32.
        Check.Close(expected, y, relative: 1e-5, absolute: 1e-6 * k);
    }

    [Theory]
    [MemberData(nameof(Shapes))]
    public void BackwardInput_IsTheProductWithTheValues(int m, int n, int k, int shift, bool nested)
    {
        using var w = new Matrix(n * k, shift, nested);
        var (dy, dx) = (Nf4Tests.Normal(m * n, 4), Nf4Tests.Normal(m * k, 5));
        var expected = new double[m * k];
        for (var i = 0; i < m; i++)
        {
            for (var p = 0; p < k; p++)
            {
                expected[(i * k) + p] = dx[(i * k) + p];
                for (var j = 0; j < n; j++)
                    expected[(i * k) + p] += (double)dy[(i * n) + j] * w.Values[(j * k) + p];
            }
        }
        fixed (float* from = dy, to = dx)
            QuantizedGemm.BackwardInput(w.View, m, n, k, from, 1, to);
        Check.Close(expected, dx, relative: 1e-5, absolute: 1e-6 * n);
    }

    [Fact]
    public void Decoding_MayBeginAnywhere()
    {
        using var w = new Matrix(1000, 6, true);
        var part = new float[200];
        foreach (var first in new[] { 0, 1, 7, 63, 64, 65, 127, 500, 799 })
        {
            foreach (var count in new[] { 1, 2, 15, 16, 17, 31, 63, 64, 65, 200 })
            {
                Array.Fill(part, 99);
                fixed (float* to = part)
                    w.View.Decode(first, count, to);
                Assert.Equal(w.Values[first..(first + count)], part[..count]);
                Assert.All(part[count..], v => Assert.Equal(99, v));
            }
        }
    }

    [Fact]
    public void Bits_DoNotDependOnThreads()
    {
        using var w = new Matrix(512 * 256, 6, true);
        foreach (var m in new[] { 1, 4, 40, 200 })
        {
            var x = Nf4Tests.Normal(m * 256, 2);
            Check.SameForAnyThreadCount(() =>
            {
                var y = new float[m * 512];
                fixed (float* from = x, to = y)
                    QuantizedGemm.Forward(w.View, m, 512, 256, from, 0, to);
                return y;
            });
        }
    }

    /// <summary>A quantised matrix, and its values decoded by the definition.</summary>
    private sealed class Matrix : IDisposable
    {
        private readonly List<nint> blocks = [];

        public Matrix(int n, int shift, bool nested)
        {
            var (codes, scales) = Nf4Tests.Quantize(Nf4Tests.Normal(n, 1), shift);
            View = new QuantizedView
            {
                Codes = Native<byte>(codes),
                Codebook = Native<float>(QuantTables.Nf4.ToArray()),
                AbsMax = Native<float>(scales),
                BlockShift = shift,
                NestedShift = 8,
            };
            if (nested)
            {
                var mean = scales.Average();
                var (bytes, groups) = (new byte[scales.Length], new float[(scales.Length + 255) / 256]);
                fixed (byte* c = bytes)
                fixed (float* g = groups)
                    DynamicQuantize.Run(View.AbsMax, scales.Length, mean, 256, QuantTables.SignedDynamic, c, g);
                View.AbsMax = null;
                View.AbsMaxCodes = Native<byte>(bytes);
                View.NestedAbsMax = Native<float>(groups);
                View.NestedMap = Native<float>(QuantTables.SignedDynamic.ToArray());
                View.Offset = mean;
                for (var b = 0; b < scales.Length; b++)
                    scales[b] = (float)(QuantTables.SignedDynamic[bytes[b]] * groups[b / 256]) + mean;
            }
            Values = new float[n];
            for (var i = 0; i < n; i++)
            {
                var code = i % 2 == 0 ? codes[i / 2] >> 4 : codes[i / 2] & 15;
                Values[i] = QuantTables.Nf4[code] * scales[i >> shift];
            }
        }

        public QuantizedView View;

        public float[] Values { get; }

        public void Dispose()
        {
            foreach (var block in blocks)
                System.Runtime.InteropServices.NativeMemory.Free((void*)block);
        }

        private T* Native<T>(T[] values) where T : unmanaged
        {
            var to = (T*)System.Runtime.InteropServices.NativeMemory.Alloc((nuint)values.Length, (nuint)sizeof(T));
            values.CopyTo(new Span<T>(to, values.Length));
            blocks.Add((nint)to);
            return to;
        }
    }
}
