using System.Diagnostics;
using CudaLora.Kernels.Simd;

namespace CudaLora.Tests.Kernels;

// The thread count is a property of the process, so every test that changes it is in this collection.
[CollectionDefinition("threads", DisableParallelization = true)]
public sealed class ThreadsCollection;

[Collection("threads")]
public sealed unsafe class WorkersTests
{
    [Theory]
    [InlineData(1, 1)]
    [InlineData(1, 1000)]
    [InlineData(2, 1)]
    [InlineData(2, 1001)]
    [InlineData(5, 3)]
    [InlineData(8, 4096)]
    public void EveryItemRunsOnce(int threads, int items)
    {
        int[] visits = new int[items];
        WithThreads(threads, () =>
        {
            for (int round = 1; round <= 50; round++)
            {
                var body = new CountBody { Visits = visits };
                Workers.Run(ref body, items);
                Assert.All(visits, n => Assert.Equal(round, n));
            }
        });
    }

    [Fact]
    public void NoItemsIsNoCall()
    {
        var body = new CountBody { Visits = [] };
        Workers.Run(ref body, 0);
    }

    [Fact]
    public void ABodyReturnsWhatItLearned()
    {
        var body = new SumBody();
        WithThreads(3, () => Workers.Run(ref body, 1000));
        Assert.Equal(999 * 1000 / 2, body.Sum);
    }

    [Fact]
    public void RunsOnSeveralThreadsAtOnce()
    {
        // Each item waits for the other: on one thread this would time out.
        var body = new MeetBody { Both = new CountdownEvent(2) };
        WithThreads(2, () => Workers.Run(ref body, 2));
        Assert.True(body.Both.IsSet);
    }

    [Fact]
    public void NestedCallsRunInline()
    {
        int[] visits = new int[64];
        WithThreads(4, () =>
        {
            var body = new NestedBody { Visits = visits };
            Workers.Run(ref body, 8);
        });
        Assert.All(visits, n => Assert.Equal(1, n));
    }

    [Fact]
    public void AnExceptionReachesTheCallerAndTheNextJobRuns()
    {
        WithThreads(3, () =>
        {
            for (int round = 0; round < 20; round++)
            {
                var failing = new ThrowBody();
                InvalidOperationException error =
                    Assert.Throws<InvalidOperationException>(() => Workers.Run(ref failing, 500));
                Assert.Equal("item 7", error.Message);
                var body = new SumBody();
                Workers.Run(ref body, 100);
                Assert.Equal(4950, body.Sum);
            }
        });
    }

    [Fact]
    public void CallersOnManyThreadsShareThePool()
    {
        WithThreads(3, () =>
        {
            long total = 0;
            var callers = Enumerable.Range(0, 6).Select(_ => new Thread(() =>
            {
                for (int round = 0; round < 200; round++)
                {
                    var body = new SumBody();
                    Workers.Run(ref body, 100);
                    Interlocked.Add(ref total, body.Sum);
                }
            })).ToList();
            callers.ForEach(t => t.Start());
            callers.ForEach(t => t.Join());
            Assert.Equal(6L * 200 * 4950, total);
        });
    }

    [Fact]
    public void AJobAllocatesNothing()
    {
        WithThreads(3, () =>
        {
            var body = new SumBody();
            for (int i = 0; i < 100; i++)
                Workers.Run(ref body, 16);
            long before = GC.GetAllocatedBytesForCurrentThread();
            for (int i = 0; i < 1000; i++)
                Workers.Run(ref body, 16);
            Assert.Equal(0, GC.GetAllocatedBytesForCurrentThread() - before);
        });
    }

    [Fact]
    public void ParkedWorkersWakeAgain()
    {
        WithThreads(3, () =>
        {
            for (int round = 0; round < 10; round++)
            {
                var body = new MeetBody { Both = new CountdownEvent(2) };
                Workers.Run(ref body, 2);
                Assert.True(body.Both.IsSet);
                Thread.Sleep(5);
            }
        });
    }

    [Fact]
    public void IdleWorkersUseNoProcessor()
    {
        WithThreads(4, () =>
        {
            var body = new SumBody();
            Workers.Run(ref body, 100);
            Thread.Sleep(50);
            // Three spinning workers would use 300 ms or more in every window (as far as there are processors); the
            // JIT and the test host use some in a few.
            var windows = Enumerable.Range(0, 10).Select(_ => ProcessorTime(300));
            Assert.Contains(windows, used => used < 150);
        });
    }

    private static double ProcessorTime(int milliseconds)
    {
        using Process process = Process.GetCurrentProcess();
        TimeSpan before = process.TotalProcessorTime;
        Thread.Sleep(milliseconds);
        process.Refresh();
        return (process.TotalProcessorTime - before).TotalMilliseconds;
    }

    [Theory]
    [InlineData(0)]
    [InlineData(-1)]
    [InlineData(5000)]
    public void AThreadCountOutOfRangeIsRefused(int count)
    {
        var error = Assert.Throws<ArgumentOutOfRangeException>(() => Workers.Count = count);
        Assert.Contains($"must be 1 to 1024, but got {count}", error.Message);
    }

    internal static void WithThreads(int count, Action action)
    {
        int before = Workers.Count;
        Workers.Count = count;
        try
        {
            action();
        }
        finally
        {
            Workers.Count = before;
        }
    }

    private struct CountBody : IParallelBody
    {
        public int[] Visits;

        public readonly void Execute(int item) => Interlocked.Increment(ref Visits[item]);
    }

    private struct SumBody : IParallelBody
    {
        public int Sum;

        public void Execute(int item) => Interlocked.Add(ref Sum, item);
    }

    private struct MeetBody : IParallelBody
    {
        public CountdownEvent Both;

        public readonly void Execute(int item)
        {
            Both.Signal();
            Both.Wait(TimeSpan.FromSeconds(20), CancellationToken.None);
        }
    }

    private struct NestedBody : IParallelBody
    {
        public int[] Visits;

        public readonly void Execute(int item)
        {
            int thread = Environment.CurrentManagedThreadId;
            var inner = new InnerBody { Visits = Visits, Offset = item * 8, Thread = thread };
            Workers.Run(ref inner, 8);
        }
    }

    private struct InnerBody : IParallelBody
    {
        public int[] Visits;
        public int Offset;
        public int Thread;

        public readonly void Execute(int item)
        {
            if (Environment.CurrentManagedThreadId != Thread)
                throw new InvalidOperationException("a nested item left its thread");
            Visits[Offset + item]++;
        }
    }

    private struct ThrowBody : IParallelBody
    {
        public readonly void Execute(int item)
        {
            if (item == 7)
                throw new InvalidOperationException("item 7");
        }
    }
}
