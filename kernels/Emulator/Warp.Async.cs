using System.Numerics;

namespace CudaLora.Kernels.Emulator;

internal sealed unsafe partial class Warp
{
    // Stores whose source has been read may land at any later time; beyond so many they land at once.
    private const int MostLateStores = 16;
    private readonly List<CopyOperation> _copies = [];
    private readonly List<BulkStore> _bulkStores = [];
    private readonly int[] _openCopyGroup = new int[32];
    private readonly int[] _openBulkGroup = new int[32];
    private uint _copySequence;
    private uint _bulkSequence;

    /// <summary>Bulk stores that no wait has covered yet.</summary>
    public IReadOnlyList<BulkStore> BulkStores => _bulkStores;

    private void ResetAsync()
    {
        _copies.Clear();
        _bulkStores.Clear();
        _copySequence = _bulkSequence = Cluster.Order?.Base ?? 1;
        Array.Clear(_openCopyGroup);
        Array.Clear(_openBulkGroup);
    }

    /// <summary>Starts the copies of one cp.async in the lanes that run.</summary>
    public void StartCopy(Instruction i, byte** sources, int* sizes)
    {
        CopyOperation copy = Cluster.Copies.Rent();
        copy.Clear();
        _copySequence++;
        int component = Cluster.Order is { } order ? order.CopyGroups(Global) : 0;
        Cluster.Order?.Reserve(_copySequence);
        ResolveAsyncWrite(i, i.Size, component, _copySequence);
        for (uint m = Exec; m != 0; m &= m - 1)
        {
            int lane = BitOperations.TrailingZeroCount(m);
            copy.Add(lane, new CopyOperation.Part((nint)Pointers[lane], (nint)sources[lane], i.Size, sizes[lane],
                _openCopyGroup[lane], (uint)Addresses[lane] - Block.SharedBase, component, _copySequence));
        }
        _copies.Add(copy);
        Cluster.Enqueue(copy);
    }

    /// <summary>Closes the open group of each lane that runs.</summary>
    public void CommitCopies()
    {
        for (uint m = Exec; m != 0; m &= m - 1) _openCopyGroup[BitOperations.TrailingZeroCount(m)]++;
    }

    /// <summary>Each lane that runs waits for its groups but the last <paramref name="leave"/>.</summary>
    public void WaitCopies(int leave)
    {
        int* last = stackalloc int[32];
        for (int lane = 0; lane < 32; lane++) last[lane] = _openCopyGroup[lane] - leave - 1;
        int kept = 0;
        for (int k = 0; k < _copies.Count; k++)
        {
            CopyOperation copy = _copies[k];
            copy.Wait(this, Exec, last);
            if (copy.Waiting != 0)
            {
                _copies[kept++] = copy;
                continue;
            }
            copy.Finish(Cluster);
            Cluster.Copies.Return(copy);
        }
        _copies.RemoveRange(kept, _copies.Count - kept);
    }

    /// <summary>Ties what a lane has in flight to a barrier.</summary>
    public void TieCopies(int lane, MBarrier barrier)
    {
        foreach (CopyOperation copy in _copies)
        {
            if ((copy.Waiting >> lane & 1) != 0) copy.Tie(this, lane, barrier);
        }
    }

    public void AddCopiesTo(CopyArrival arrival)
    {
        foreach (CopyOperation copy in _copies) arrival.Add(copy);
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
            if (readOnly && !store.Done && Cluster.LateStores < MostLateStores)
            {
                store.ReadSource();
                Cluster.LateStores++;
            }
            else
            {
                store.Finish(Cluster);
            }
            store.Waited = true;
        }
        int kept = 0;
        for (int k = 0; k < _bulkStores.Count; k++)
        {
            BulkStore store = _bulkStores[k];
            if (!store.Waited) _bulkStores[kept++] = store;
            else if (store.Done) Cluster.Stores.Return(store);
        }
        _bulkStores.RemoveRange(kept, _bulkStores.Count - kept);
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
