namespace CudaLora.Kernels.Emulator;

/// <summary>One launch: hands clusters to workers, gathers counters and the first fault.</summary>
internal sealed class Launch(Emulator emulator, EmulatedKernel kernel, Extent grid, Extent block, Extent cluster,
    int dynamicShared, ulong parameterAddress, byte[] parameters)
{
    private const int MaxResidentPerWorker = 256;
    private long _nextCluster;
    private long _issued;
    private EmulatorFault? _fault;

    public Emulator Emulator { get; } = emulator;

    public EmulatorOptions Options { get; } = emulator.Options;

    public EmulatedKernel Kernel { get; } = kernel;

    public Extent Grid { get; } = grid;

    public Extent Block { get; } = block;

    public Extent ClusterShape { get; } = cluster;

    public int DynamicShared { get; } = dynamicShared;

    public ulong ParameterAddress { get; } = parameterAddress;

    public byte[] Parameters { get; } = parameters;

    public int Threads { get; } = (int)block.Count;

    public bool ExplicitCluster { get; private set; }

    public Trace? Trace { get; init; }

    /// <summary>The shadow that finds races in global memory; null when they are not asked for.</summary>
    public GlobalRaces? Races { get; } = emulator.Options is { Checks: true, GlobalRaces: true }
        ? emulator.Memory.Races : null;

    public bool Stopped => Volatile.Read(ref _fault) is not null;

    private long Clusters { get; } = grid.Count / cluster.Count;

    public LaunchReport Run(bool explicitCluster)
    {
        ExplicitCluster = explicitCluster;
        int workers = Options.Workers > 0 ? Options.Workers : Environment.ProcessorCount;
        workers = (int)Math.Min(workers, Clusters);
        var counters = new Counters[workers][];
        try
        {
            if (workers == 1) counters[0] = Work();
            else Parallel.For(0, workers, new ParallelOptions { MaxDegreeOfParallelism = workers }, i =>
                counters[i] = Work());
        }
        finally
        {
            Races?.EndLaunch();
        }
        Counters[] sum = counters[0];
        foreach (Counters[] other in counters.AsSpan(1))
        {
            for (int i = 0; i < sum.Length; i++) sum[i].Add(other[i]);
        }
        return new LaunchReport(Kernel, _fault, sum, Kernel.StaticSharedBytes + DynamicShared, Threads);
    }

    /// <summary>Where in the grid the block of a rank of a cluster is.</summary>
    public Extent BlockIndex(long cluster, int rank)
    {
        Extent shape = ClusterShape;
        Extent index = new Extent(Grid.X / shape.X, Grid.Y / shape.Y, Grid.Z / shape.Z).At(cluster);
        Extent inside = shape.At(rank);
        return new Extent((index.X * shape.X) + inside.X, (index.Y * shape.Y) + inside.Y,
            (index.Z * shape.Z) + inside.Z);
    }

    /// <summary>Counts issued instructions of all workers; true while the launch is inside its budget.</summary>
    public bool Spend(long instructions) => Interlocked.Add(ref _issued, instructions) <= Options.InstructionBudget;

    /// <summary>
    /// Runs clusters until none is left. A cluster that does not end within its slice is parked and another one
    /// started, as on a device that holds many at once, so that blocks may wait for each other through global memory.
    /// </summary>
    private Counters[] Work()
    {
        var counters = new Counters[Kernel.Code.Length];
        RaceWatch? watch = Races is null ? null : new RaceWatch(Races);
        var resident = new Queue<Cluster>();
        var idle = new Stack<Cluster>();
        var made = new List<Cluster>();
        try
        {
            while (!Stopped)
            {
                long next = resident.Count < MaxResidentPerWorker ? Interlocked.Increment(ref _nextCluster) - 1
                    : Clusters;
                Cluster current;
                if (next < Clusters)
                {
                    if (!idle.TryPop(out current!)) made.Add(current = new Cluster(this, counters, watch));
                    current.Start(next);
                }
                else if (resident.Count > 0)
                {
                    current = resident.Dequeue();
                }
                else
                {
                    break;
                }
                if (current.RunSlice()) idle.Push(current);
                else resident.Enqueue(current);
            }
        }
        catch (FaultSignal signal)
        {
            Interlocked.CompareExchange(ref _fault, signal.Fault, null);
        }
        foreach (Cluster cluster in made) cluster.Dispose();
        return counters;
    }
}
