using System.Diagnostics;
using System.Runtime.CompilerServices;
using System.Runtime.ExceptionServices;

namespace CudaLora.Kernels.Simd;

/// <summary>
/// A loop body that <see cref="Workers"/> spreads over threads. Items must be independent units of work.
/// </summary>
public interface IParallelBody
{
    /// <summary>Computes item <paramref name="item"/>, 0 to items - 1. Called once per item, on any thread.</summary>
    void Execute(int item);
}

/// <summary>
/// Fork-join over persistent threads. One job runs at a time; a nested call, and a call that finds another job in
/// progress, run on their own thread. Nothing is allocated after the threads exist. Which thread takes an item is not
/// fixed, so a result may not depend on it.
/// </summary>
public static unsafe class Workers
{
    private const int ActiveMask = 0xFFFF;
    private const int Open = 0x10000;
    private const int MaxCount = 1024;

    // A worker waits this long for the next job before it parks, and the caller for the last worker.
    private static readonly long s_spinTicks = Stopwatch.Frequency / 25_000;

    private static readonly object s_busy = new();
    private static readonly object s_wake = new();
    private static readonly object s_done = new();
    private static int s_count = InitialCount();
    private static int s_started;

    // The current job. Written while no worker is active and the state is closed.
    private static delegate*<void*, int, void> s_execute;
    private static void* s_body;
    private static int s_items;
    private static int s_helpers;
    private static Exception? s_error;

    private static int s_next;
    private static int s_state;
    private static int s_epoch;
    private static int s_parked;
    private static int s_callerWaits;

    [ThreadStatic]
    private static bool t_inside;

    /// <summary>
    /// Threads that share a job, the caller included; 1 to 1024. Starts as CUDALORA_THREADS, else the processor count.
    /// </summary>
    public static int Count
    {
        get => Volatile.Read(ref s_count);
        set
        {
            if (value is < 1 or > MaxCount)
                throw new ArgumentOutOfRangeException(
                    nameof(value), $"[workers] thread count must be 1 to {MaxCount}, but got {value}");
            Volatile.Write(ref s_count, value);
        }
    }

    /// <summary>
    /// Runs items 0 to <paramref name="items"/> - 1 and returns when all are done. The body is shared by all threads
    /// and copied back at the end. The first exception of an item is thrown here; items not yet begun are then dropped.
    /// </summary>
    public static void Run<TBody>(ref TBody body, int items)
        where TBody : struct, IParallelBody
    {
        int helpers = Math.Min(Count, items) - 1;
        if (helpers <= 0 || t_inside || !Monitor.TryEnter(s_busy))
        {
            for (int i = 0; i < items; i++)
                body.Execute(i);
            return;
        }

        // A copy on this stack cannot be moved by the collector while other threads hold its address.
        TBody local = body;
        t_inside = true;
        try
        {
            Start(helpers);
            s_execute = &Call<TBody>;
            s_body = Unsafe.AsPointer(ref local);
            s_items = items;
            s_helpers = helpers;
            s_error = null;
            Volatile.Write(ref s_next, 0);
            Fork();
            TakeItems();
            Join();
            body = local;
        }
        finally
        {
            t_inside = false;
            Monitor.Exit(s_busy);
        }
        if (s_error is { } error)
            Rethrow(error);
    }

    private static void Rethrow(Exception error)
    {
        s_error = null;
        ExceptionDispatchInfo.Throw(error);
    }

    private static void Call<TBody>(void* body, int item)
        where TBody : struct, IParallelBody => Unsafe.AsRef<TBody>(body).Execute(item);

    private static void Fork()
    {
        Interlocked.Exchange(ref s_state, Open);
        Interlocked.Increment(ref s_epoch);
        if (Volatile.Read(ref s_parked) == 0)
            return;
        lock (s_wake)
            Monitor.PulseAll(s_wake);
    }

    private static void Join()
    {
        if ((Interlocked.And(ref s_state, ~Open) & ActiveMask) == 0)
            return;
        long limit = Stopwatch.GetTimestamp() + s_spinTicks;
        while (Stopwatch.GetTimestamp() < limit)
        {
            if (Volatile.Read(ref s_state) == 0)
                return;
            Thread.SpinWait(8);
        }
        lock (s_done)
        {
            Interlocked.Exchange(ref s_callerWaits, 1);
            while (Volatile.Read(ref s_state) != 0)
                Monitor.Wait(s_done);
            Volatile.Write(ref s_callerWaits, 0);
        }
    }

    private static void TakeItems()
    {
        try
        {
            while (true)
            {
                int item = Interlocked.Increment(ref s_next) - 1;
                if ((uint)item >= (uint)s_items)
                    return;
                s_execute(s_body, item);
            }
        }
        catch (Exception error)
        {
            Interlocked.CompareExchange(ref s_error, error, null);
            // Half of the range is far from wrapping: every thread stops after one more increment.
            Volatile.Write(ref s_next, int.MaxValue / 2);
        }
    }

    private static void Start(int helpers)
    {
        while (s_started < helpers)
        {
            int index = s_started++;
            new Thread(() => Loop(index)) { IsBackground = true, Name = $"cudalora-worker-{index}" }.Start();
        }
    }

    private static void Loop(int index)
    {
        t_inside = true;
        int seen = 0;
        while (true)
        {
            seen = AwaitEpoch(seen);
            if (!TryJoinJob(index))
                continue;
            TakeItems();
            if (Interlocked.Decrement(ref s_state) == 0 && Volatile.Read(ref s_callerWaits) != 0)
            {
                lock (s_done)
                    Monitor.Pulse(s_done);
            }
        }
    }

    // A worker that comes after the job was closed stays out, so the caller never waits for a sleeper.
    private static bool TryJoinJob(int index)
    {
        while (true)
        {
            int state = Volatile.Read(ref s_state);
            if ((state & Open) == 0 || index >= s_helpers)
                return false;
            if (Interlocked.CompareExchange(ref s_state, state + 1, state) == state)
                return true;
        }
    }

    private static int AwaitEpoch(int seen)
    {
        long limit = Stopwatch.GetTimestamp() + s_spinTicks;
        while (Stopwatch.GetTimestamp() < limit)
        {
            int epoch = Volatile.Read(ref s_epoch);
            if (epoch != seen)
                return epoch;
            Thread.SpinWait(8);
        }
        lock (s_wake)
        {
            Interlocked.Increment(ref s_parked);
            while (Volatile.Read(ref s_epoch) == seen)
                Monitor.Wait(s_wake);
            Interlocked.Decrement(ref s_parked);
            return Volatile.Read(ref s_epoch);
        }
    }

    private static int InitialCount()
    {
        string? text = Environment.GetEnvironmentVariable("CUDALORA_THREADS");
        return int.TryParse(text, out int count) && count is >= 1 and <= MaxCount
            ? count
            : Math.Min(Environment.ProcessorCount, MaxCount);
    }
}
