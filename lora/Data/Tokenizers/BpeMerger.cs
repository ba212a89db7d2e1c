namespace CudaLora.Lora;

/// <summary>One run of merging over a list of symbols, in O(n log n): a linked list and a queue of candidate
/// pairs.</summary>
internal static class BpeMerger
{
    private readonly record struct Candidate(int Left, int LeftId, int RightId, int Merged);

    /// <summary>Left and right token ids as one key.</summary>
    public static long Key(int left, int right) => ((long)left << 32) | (uint)right;

    public static int[] Run(Dictionary<long, (int Rank, int Id)> merges, List<int> symbols)
    {
        int count = symbols.Count;
        if (count < 2) return [.. symbols];
        var ids = symbols.ToArray();
        var next = new int[count];
        var previous = new int[count];
        var queue = new PriorityQueue<Candidate, (int Rank, int Left)>();
        for (int i = 0; i < count; i++)
        {
            next[i] = i + 1;
            previous[i] = i - 1;
            Offer(i);
        }
        while (queue.TryDequeue(out var pair, out _))
        {
            int left = pair.Left, right = next[left];
            // Stale entries: a side was merged away or has changed since.
            if (ids[left] != pair.LeftId || right >= count || ids[right] != pair.RightId) continue;
            ids[left] = pair.Merged;
            ids[right] = -1;
            next[left] = next[right];
            if (next[right] < count) previous[next[right]] = left;
            Offer(left);
            if (previous[left] >= 0) Offer(previous[left]);
        }
        return Array.FindAll(ids, id => id >= 0);

        void Offer(int left)
        {
            int right = next[left];
            if (right >= count || !merges.TryGetValue(Key(ids[left], ids[right]), out var merge)) return;
            queue.Enqueue(new Candidate(left, ids[left], ids[right], merge.Id), (merge.Rank, left));
        }
    }
}
