using CudaLora.Kernels.Emulator;
using CudaLora.Kernels.Ops;
using CudaLora.Kernels.Runtime;
using CudaLora.Kernels.Simd;
using CudaLora.Tests.Kernels;

namespace CudaLora.Tests;

/// <summary>Broadcast, slices and permutations of every rank and type against plain index arithmetic.</summary>
public class ElementwiseLaunchTests
{
    public static TheoryData<int[], int[]> Shapes => new()
    {
        { [1000], [1000] },
        { [7], [7] },
        { [6, 40], [40] },
        { [6, 40], [6, 1] },
        { [6, 40], [1] },
        { [3, 5, 7], [5, 1] },
        { [2, 3, 4, 16], [3, 1, 16] },
        { [1, 3, 1, 8], [2, 1, 4, 8] },
        { [2, 1, 3, 1, 2, 8], [1, 2, 3, 2, 1, 8] },
        { [2, 1, 3, 1, 2, 3], [1, 2, 1, 2, 1, 3] },
        { [1], [1] },
    };

    [Theory]
    [MemberData(nameof(Shapes))]
    public void EveryOpBroadcasts(int[] a, int[] b)
    {
        int rank = Math.Max(a.Length, b.Length);
        int[] wholeA = [.. Enumerable.Repeat(1, rank - a.Length), .. a];
        int[] wholeB = [.. Enumerable.Repeat(1, rank - b.Length), .. b];
        int[] shape = [.. wholeA.Zip(wholeB, Math.Max)];
        using var driver = new EmulatedDriver();
        using CudaContext context = CudaContext.Open(driver);
        // Types of a, b and y: all of one, the usual mixtures, and one address that no vector fits.
        foreach ((bool ta, bool tb, bool ty, int offset) in new[]
        {
            (false, false, false, 0), (true, true, true, 0), (true, false, true, 0), (false, true, false, 0),
            (true, true, false, 0), (false, false, false, 1), (true, false, true, 1),
        })
        {
            Run(context, shape, wholeA, wholeB, ta, tb, ty, offset);
        }
    }

    private static void Run(
        CudaContext context, int[] shape, int[] a, int[] b, bool ta, bool tb, bool ty, int offset)
    {
        var inputs = new LabInputs(context, 11);
        int n = shape.Aggregate(1, (x, y) => x * y);
        float[] va = inputs.Values(a.Aggregate(1, (x, y) => x * y));
        // Away from zero, for the quotient.
        float[] vb = [.. inputs.Values(b.Aggregate(1, (x, y) => x * y)).Select(v => v + MathF.CopySign(0.5f, v))];
        float[] start = inputs.Values(n);
        using DeviceArray da = new(context, va, ta, offset), db = new(context, vb, tb, offset);
        foreach (ElementwiseOp op in Enum.GetValues<ElementwiseOp>())
        {
            float alpha = op == ElementwiseOp.Sum ? -1 : 0.75f;
            using DeviceArray fresh = new(context, n, ty, offset), sum = new(context, start, ty, offset);
            var plan = BroadcastPlan.Create(shape, a, b);
            Elementwise.Binary(context.Stream, op, alpha, plan, da.Operand, db.Operand, fresh.Operand);
            Elementwise.Binary(
                context.Stream, op, alpha, plan, da.Operand, db.Operand, sum.Operand, accumulate: true);
            var expected = new double[n];
            for (int i = 0; i < n; i++)
            {
                double x = va[Index(i, shape, a)], z = vb[Index(i, shape, b)];
                expected[i] = op switch
                {
                    ElementwiseOp.Sum => x + (alpha * z),
                    ElementwiseOp.Product => alpha * x * z,
                    ElementwiseOp.Quotient => alpha * x / z,
                    _ => alpha * x,
                };
            }
            // Three roundings of f32, or half a unit of 8 bits.
            double t = ty ? 1.0 / 256 : 2e-7;
            Check.Close(expected, fresh.ToArray(), t, 2e-7);
            Check.Close([.. expected.Select((v, i) => v + start[i])], sum.ToArray(), t, 4e-7);
        }
    }

    // Offset of element i of the result's shape in an operand of the same rank.
    private static int Index(int i, int[] shape, int[] operand)
    {
        (int at, int stride) = (0, 1);
        for (int d = shape.Length - 1; d >= 0; d--)
        {
            at += operand[d] == 1 ? 0 : i % shape[d] * stride;
            i /= shape[d];
            stride *= operand[d];
        }
        return at;
    }

    [Theory]
    [InlineData(6, 24, 24, 40, 8, 0, false)]
    [InlineData(6, 24, 48, 24, 0, 8, true)]
    [InlineData(5, 7, 9, 7, 2, 0, false)]
    [InlineData(5, 7, 7, 11, 0, 3, true)]
    [InlineData(1, 50, 50, 50, 0, 0, true)]
    public void BlocksOfAMatrix(int blocks, int length, int fromStride, int toStride, int from, int to, bool bf16)
    {
        using var driver = new EmulatedDriver();
        using CudaContext context = CudaContext.Open(driver);
        var inputs = new LabInputs(context, 12);
        float[] x = inputs.Values(blocks * fromStride + from), y = inputs.Values(blocks * toStride + to);
        using DeviceArray dx = new(context, x, bf16), copy = new(context, y, bf16);
        using DeviceArray sum = new(context, (float[])y.Clone(), bf16);
        ulong size = bf16 ? 2u : 4u;
        foreach ((DeviceArray target, bool adds) in new[] { (copy, false), (sum, true) })
        {
            Elementwise.CopyBlocks(
                context.Stream, new(dx.Address + (size * (ulong)from), bf16), fromStride,
                new(target.Address + (size * (ulong)to), bf16), toStride, blocks, length, adds);
            var expected = (float[])y.Clone();
            for (int i = 0; i < blocks * length; i++)
            {
                int at = to + (i / length * toStride) + (i % length);
                expected[at] = x[from + (i / length * fromStride) + (i % length)] + (adds ? y[at] : 0);
            }
            if (bf16) DeviceArray.Round(expected);
            Assert.Equal(expected, target.ToArray());
        }
    }

    [Theory]
    [InlineData(new[] { 70, 41 }, new[] { 1, 0 })]
    [InlineData(new[] { 64, 130 }, new[] { 1, 0 })]
    [InlineData(new[] { 2, 3, 5, 8 }, new[] { 0, 2, 1, 3 })]
    [InlineData(new[] { 3, 4, 5 }, new[] { 2, 1, 0 })]
    [InlineData(new[] { 2, 3, 4, 5, 2, 3 }, new[] { 5, 3, 1, 4, 2, 0 })]
    [InlineData(new[] { 2, 3, 2, 5, 2, 4 }, new[] { 0, 5, 1, 4, 3, 2 })]
    [InlineData(new[] { 2, 1, 6, 4 }, new[] { 2, 3, 1, 0 })]
    [InlineData(new[] { 4, 6 }, new[] { 0, 1 })]
    [InlineData(new[] { 2, 3, 4, 5, 6, 8 }, new[] { 1, 0, 3, 2, 4, 5 })]
    public void EveryPermutation(int[] dims, int[] order)
    {
        using var driver = new EmulatedDriver();
        using CudaContext context = CudaContext.Open(driver);
        var inputs = new LabInputs(context, 13);
        int n = dims.Aggregate(1, (x, y) => x * y);
        float[] x = inputs.Values(n), start = inputs.Values(n);
        int[] shape = [.. order.Select(axis => dims[axis])];
        foreach ((bool bf16, int offset) in new[] { (false, 0), (true, 0), (true, 1) })
        {
            using DeviceArray from = new(context, x, bf16, offset), copy = new(context, n, bf16, offset);
            using DeviceArray sum = new(context, start, bf16, offset);
            Permute.Run(context.Stream, from.Address, dims, order, copy.Address, accumulate: false, bf16);
            Permute.Run(context.Stream, from.Address, dims, order, sum.Address, accumulate: true, bf16);
            float[] expected = new float[n], added = new float[n];
            for (int i = 0; i < n; i++)
            {
                (int rest, int at) = (i, 0);
                for (int d = shape.Length - 1; d >= 0; d--)
                {
                    at += rest % shape[d] * dims[(order[d] + 1)..].Aggregate(1, (p, q) => p * q);
                    rest /= shape[d];
                }
                expected[i] = x[at];
                added[i] = start[i] + x[at];
            }
            if (bf16) DeviceArray.Round(added);
            Assert.Equal(expected, copy.ToArray());
            Assert.Equal(added, sum.ToArray());
        }
    }

    [Fact]
    public void LaunchesAllocateNothing()
    {
        var driver = new RecordingDriver();
        using CudaContext context = CudaContext.Open(driver);
        CudaStream stream = context.Stream;
        Operand wide = new(256, Bf16: false), half = new(512, Bf16: true);
        Round();
        driver.Recording = false;
        Assert.Equal(0, Allocations.Least(() =>
        {
            for (int i = 0; i < 100; i++) Round();
        }));

        void Round()
        {
            Elementwise.Binary(
                stream, ElementwiseOp.Product, 1, BroadcastPlan.Create([4, 8], [4, 8], [8]), half, wide, half);
            Elementwise.CopyBlocks(stream, half, 8, wide, 16, 3, 8);
            Elementwise.Expand(stream, wide, 1, 2, 3, 4, half);
            Elementwise.AddInto(stream, half, wide, 100);
            Permute.Run(stream, 256, [2, 3, 4], [2, 0, 1], 512, accumulate: false, bf16: true);
            Permute.Run(stream, 256, [2, 3, 4], [1, 0, 2], 512, accumulate: false, bf16: false);
            _ = Sum.ToShape(stream, half, [4, 8, 16], 1, wide, [8, 1], false, 1024);
            Max.Axis(stream, 256, 4, 100, 1, 512, 1024, bf16: true);
            Silu.Forward(stream, 256, 512, 100, bf16: false);
            Dropout.Apply(stream, 256, 512, 100, 0.5f, 1, 2, 0, false, bf16: true);
        }
    }
}
