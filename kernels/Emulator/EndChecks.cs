namespace CudaLora.Kernels.Emulator;

/// <summary>What must hold when warps and blocks end.</summary>
internal static class EndChecks
{
    public static void OnWarpDone(Warp warp)
    {
        if (!warp.Checks) return;
        if (warp.BulkStores.Count > 0)
            throw warp.Fault(FaultKind.EarlyExit,
                "a bulk store must be committed and waited for (cp.async.bulk.wait_group.read) before its thread exits",
                    warp.BulkStores[0].Lane);
    }

    public static void Run(Cluster cluster)
    {
        if (cluster.Launch.Options.Checks)
        {
            foreach (AsyncOperation operation in cluster.Pending)
            {
                if (operation.Abandoned() is { } fault) throw fault;
            }
        }
        while (cluster.Pending.Count > 0) cluster.Pending[0].Finish(cluster);
        if (!cluster.Launch.Options.Checks) return;
        foreach (Block block in cluster.Blocks)
        {
            CheckWarpgroups(block);
            foreach (MBarrier barrier in block.MBarriers.Values)
            {
                if (barrier.PendingBytes == 0) continue;
                Warp warp = block.Warps[0];
                Instruction at = cluster.Launch.Kernel.Code[Math.Max(barrier.LastExpectInstruction, 0)];
                throw barrier.WrongBytes(warp, at,
                    $"at the block's end {barrier.PendingBytes} expected bytes have not come");
            }
            foreach (NamedBarrier barrier in block.Barriers)
            {
                if (!barrier.InUse) continue;
                throw block.Warps[0].Fault(FaultKind.MissingBarrier,
                    $"barrier {barrier.Id} must complete before the block ends, but {barrier.Progress} arrived");
            }
        }
    }

    private static void CheckWarpgroups(Block block)
    {
        for (int first = 0; first < block.Warps.Length; first += 4)
        {
            int issued = block.Warps[first].Wgmma?.Issued ?? 0;
            for (int k = first; k < first + 4; k++)
            {
                int other = k < block.Warps.Length ? block.Warps[k].Wgmma?.Issued ?? 0 : 0;
                if (other != issued)
                    throw block.Warps[first].Fault(FaultKind.DivergentBarrier,
                        $"all four warps of a warpgroup must run the same wgmma, but warp {first} ran {issued} and warp {k} ran {other}");
            }
        }
    }
}

/// <summary>Says why no warp of a cluster can go on.</summary>
internal static class DeadlockReport
{
    public static FaultSignal Describe(Cluster cluster)
    {
        foreach (Warp warp in cluster.Warps)
        {
            if (warp.State != WarpState.Polling || warp.PolledBarrier is not { } barrier) continue;
            if (barrier.PendingArrivals == 0)
                return barrier.WrongBytes(warp, warp.Current,
                    $"{barrier.PendingBytes} expected bytes never come: expect_tx and the copies disagree");
        }
        foreach (Block block in cluster.Blocks)
        {
            foreach (NamedBarrier barrier in block.Barriers)
            {
                if (barrier.Waiting.Count == 0) continue;
                return barrier.Waiting[0].Fault(FaultKind.MissingBarrier,
                    $"barrier {barrier.Id} has {barrier.Progress}, and no warp can reach it any more: {Others(cluster)}");
            }
        }
        if (cluster.Barrier.Waiting.Count > 0)
            return cluster.Barrier.Waiting[0].Fault(FaultKind.MissingBarrier,
                $"the cluster barrier has {cluster.Barrier.Progress}, and no warp can reach it any more: {Others(cluster)}");
        Warp stuck = cluster.Warps.First(w => w.State != WarpState.Done);
        MBarrier? polled = stuck.PolledBarrier;
        string what = polled is null ? ""
            : $" for the mbarrier at 0x{polled.Address:X} ({polled.PendingArrivals} arrivals missing)";
        return stuck.Fault(FaultKind.Deadlock, $"every warp waits{what}: {Others(cluster)}");
    }

    private static string Others(Cluster cluster)
    {
        IEnumerable<string> groups = cluster.Warps
            .GroupBy(w => w.State == WarpState.Done ? "exited" : $"at line {w.Current.Line}")
            .Select(g => $"{g.Count()} warps {g.Key}");
        return string.Join(", ", groups);
    }
}
