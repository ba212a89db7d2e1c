using CudaLora.Kernels.Simd;

namespace CudaLora.Tests.Kernels;

[Collection("threads")]
public sealed unsafe class GemmThreadTests
{
    [Theory]
    [InlineData(false, false, 257, 200, 300)]
    [InlineData(false, true, 257, 200, 300)]
    [InlineData(true, false, 257, 200, 300)]
    [InlineData(true, true, 257, 200, 300)]
    [InlineData(false, true, 700, 8, 520)]
    [InlineData(false, false, 700, 8, 520)]
    [InlineData(true, false, 8, 400, 1000)]
    [InlineData(true, false, 400, 8, 1000)]
    [InlineData(false, true, 700, 300, 8)]
    [InlineData(false, true, 1, 700, 600)]
    [InlineData(false, false, 1, 700, 600)]
    [InlineData(false, true, 90, 700, 600)]
    [InlineData(false, true, 130, 9000, 260)] // more than one chunk of packed B
    public void BitsDoNotDependOnTheThreadCount(bool transA, bool transB, int m, int n, int k)
    {
        var random = new Random(1);
        float[] a = GemmTests.Values(random, m * k), b = GemmTests.Values(random, k * n);
        float[] start = GemmTests.Values(random, m * n);
        float[] Product(int threads)
        {
            float[] c = (float[])start.Clone();
            WorkersTests.WithThreads(threads, () =>
            {
                fixed (float* pa = a, pb = b, pc = c)
                    Gemm.Run(transA, transB, m, n, k, 0.5f, pa, transA ? m : k, pb, transB ? k : n, 1, pc, n);
            });
            return c;
        }

        float[] one = Product(1);
        Assert.Equal(one, Product(2));
        Assert.Equal(one, Product(3));
        float[] serial = (float[])start.Clone();
        fixed (float* pa = a, pb = b, pc = serial)
            Gemm.RunSerial(transA, transB, m, n, k, 0.5f, pa, transA ? m : k, pb, transB ? k : n, 1, pc, n);
        Assert.Equal(one, serial);
    }

    [Theory]
    [InlineData(2)]
    [InlineData(5)]
    public void BatchBitsDoNotDependOnTheThreadCount(int batch)
    {
        const int M = 90, N = 80, K = 100;
        var random = new Random(1);
        float[] a = GemmTests.Values(random, batch * M * K), b = GemmTests.Values(random, batch * K * N);
        float[] Product(int threads)
        {
            float[] c = new float[batch * M * N];
            WorkersTests.WithThreads(threads, () =>
            {
                fixed (float* pa = a, pb = b, pc = c)
                    Gemm.RunBatched(batch, false, false, M, N, K, 1, pa, K, M * K, pb, N, K * N, 0, pc, N, M * N);
            });
            return c;
        }

        float[] one = Product(1);
        Assert.Equal(one, Product(2));
        Assert.Equal(one, Product(3));
    }

    [Fact]
    public void ARepeatedProductAllocatesNothing()
    {
        float[] a = new float[300 * 300], b = new float[300 * 300], c = new float[300 * 300];
        WorkersTests.WithThreads(2, () =>
        {
            fixed (float* pa = a, pb = b, pc = c)
            {
                for (int i = 0; i < 20; i++)
                    Gemm.Run(true, true, 300, 300, 300, 1, pa, 300, pb, 300, 0, pc, 300);
                long before = GC.GetAllocatedBytesForCurrentThread();
                long native = Scratch.Grown;
                for (int i = 0; i < 20; i++)
                    Gemm.Run(true, true, 300, 300, 300, 1, pa, 300, pb, 300, 0, pc, 300);
                Assert.Equal(0, GC.GetAllocatedBytesForCurrentThread() - before);
                Assert.Equal(native, Scratch.Grown);
            }
        });
    }
}
