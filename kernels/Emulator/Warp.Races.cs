namespace CudaLora.Kernels.Emulator;

/// <summary>What the warp tells the watch over global memory.</summary>
internal sealed unsafe partial class Warp
{
    private readonly uint[] _records = [];
    private readonly uint[] _recordClocks = [];

    /// <summary>Reports a race of a copy from or to memory that <see cref="GlobalPointer"/> just found.</summary>
    public void WatchCopy(RaceWatch races, ulong address, int bytes, Access access, int lane)
    {
        uint record = RaceRecord(races);
        if (record != 0) races.Range(this, record, _recent!, address, bytes, lane, access != Access.Read);
    }

    /// <summary>The live allocation of an address that has been checked.</summary>
    public Allocation Holder(ulong address)
    {
        Allocation? a = _recent;
        return a is not null && a.Holds(address, 1) ? a : Cluster.Launch.Emulator.Memory.Find(address)!;
    }

    /// <summary>The record of what the current instruction accesses now; 0 when there are no more.</summary>
    private uint RaceRecord(RaceWatch races)
    {
        int index = Current.Index;
        uint clock = Cluster.Order!.Clock(Global);
        if (_recordClocks[index] != clock)
            (_recordClocks[index], _records[index]) = (clock, races.Record(this, Current, clock));
        return _records[index];
    }
}
