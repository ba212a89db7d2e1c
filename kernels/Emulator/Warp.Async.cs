namespace CudaLora.Kernels.Emulator;

internal sealed unsafe partial class Warp
{
    private readonly List<CopyOperation> _copies = [];
    private readonly List<BulkStore> _bulkStores = [];
    private uint _openCopyGroup;
    private uint _bulkSequence;
    private readonly int[] _openBulkGroup = new int[32];

    /// <summary>Bulk stores that no wait has covered yet.</summary>
    public IReadOnlyList<BulkStore> BulkStores => _bulkStores;

    private void ResetAsync()
    {
        _copies.Clear();
        _bulkStores.Clear();
        _openCopyGroup = _bulkSequence = Cluster.Order?.Base ?? 1;
        Array.Clear(_openBulkGroup);
    }

    public uint OpenCopyGroup => _openCopyGroup;

    public void AddCopy(CopyOperation copy)
    {
        copy.Group = _openCopyGroup;
        _copies.Add(copy);
        Cluster.Enqueue(copy);
    }

    public void CommitCopies() => _openCopyGroup++;

    /// <summary>Completes all copy groups but the last <paramref name="leave"/>.</summary>
    public void WaitCopies(int leave)
    {
        uint upTo = _openCopyGroup - (uint)leave - 1;
        foreach (CopyOperation copy in _copies)
        {
            if (copy.Group <= upTo) copy.Finish(Cluster);
        }
        _copies.RemoveAll(c => c.Done);
        if (Cluster.Order is not { } order) return;
        uint* seen = order.Of(Global);
        seen[order.CopyGroups(Global)] = Math.Max(seen[order.CopyGroups(Global)], upTo);
    }

    /// <summary>Registers a bulk store of one lane; gives its place in the warp's order.</summary>
    public uint AddBulkStore(BulkStore store, int lane)
    {
        store.Group = _openBulkGroup[lane];
        _bulkStores.Add(store);
        return ++_bulkSequence;
    }

    public void CommitBulk(int lane) => _openBulkGroup[lane]++;

    /// <summary>Waits for all of a lane's bulk groups but the last <paramref name="leave"/>.</summary>
    public void WaitBulk(int lane, int leave, bool readOnly)
    {
        int upTo = _openBulkGroup[lane] - leave;
        foreach (BulkStore store in _bulkStores)
        {
            if (store.Lane != lane || store.Group >= upTo) continue;
            if (readOnly) store.ReadSource();
            else store.Finish(Cluster);
            store.Waited = true;
        }
        _bulkStores.RemoveAll(s => s.Waited);
        if (Cluster.Order is not { } order) return;
        uint seen = _bulkSequence;
        foreach (BulkStore store in _bulkStores) seen = Math.Min(seen, store.Sequence - 1);
        order.Of(Global)[order.BulkGroups(Global)] = seen;
    }

    /// <summary>A poll that found its phase incomplete: others run first.</summary>
    public void Poll(MBarrier barrier)
    {
        if (PolledAt >= 0 && PolledAt != Cluster.Progress) FruitlessPolls = 0;
        (State, PolledAt, PolledBarrier, Yield) = (WarpState.Polling, Cluster.Progress, barrier, true);
        SwapSides();
    }
}
