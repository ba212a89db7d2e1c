using CudaLora.Engine;
using CudaLora.Lora;

namespace CudaLora.Tests;

public class BatcherTests
{
    private static SftExample[] Examples(int count, int seed = 3)
    {
        var random = new Random(seed);
        return Enumerable.Range(0, count).Select(i =>
        {
            // The first id tells which example it is.
            var ids = Enumerable.Range(0, random.Next(2, 40)).Select(t => t == 0 ? 1000 + i : t).ToArray();
            return new SftExample(ids, ids.Select((id, t) => t < ids.Length / 2 ? -100 : id).ToArray());
        }).ToArray();
    }

    private static (int[] Ids, int[] Targets, int B, int T) Copy(Batch batch) =>
        (batch.Ids.ToArray(), batch.Targets.ToArray(), batch.B, batch.T);

    [Fact]
    public void Rows_are_padded_to_a_multiple_and_padding_is_not_learned()
    {
        SftExample[] examples = [new([5, 6, 7], [-100, 6, 7]), new([8, 9], [8, 9])];
        var batch = new Batch();
        new Batcher(examples, new BatcherOptions
        {
            BatchSize = 2,
            Shuffle = false,
            PadToMultipleOf = 4,
            PadId =
            1
        }).Next(batch);
        Assert.Equal((2, 4, 5, 3, 2, false),
            (batch.B, batch.T, batch.TokenCount, batch.LabelCount, batch.ExampleCount, batch.Packed));
        Assert.Equal([5, 6, 7, 1, 8, 9, 1, 1], batch.Ids);
        // Label 0 can never be learned: nothing precedes it.
        Assert.Equal([-100, 6, 7, -100, -100, 9, -100, -100], batch.Labels);
        Assert.Equal([6, 7, -100, -100, 9, -100, -100, -100], batch.Targets);
        Assert.Equal([0, 1, 2, 0, 0, 1, 0, 0], batch.Positions);
        Assert.Equal([0, 0, 0, -1, 0, 0, -1, -1], batch.Segments);
        Assert.Equal([3, 2], batch.Lengths);
    }

    [Fact]
    public void Packed_rows_restart_positions_and_never_predict_across_examples()
    {
        SftExample[] examples = [new([5, 6], [5, 6]), new([7, 8, 9], [7, 8, 9])];
        var batch = new Batch();
        new Batcher(examples, new BatcherOptions { Pack = true, RowLength = 6, PadToMultipleOf = 6 }).Next(batch);
        Assert.Equal([7, 8, 9, 5, 6, 0], batch.Ids);
        Assert.Equal([0, 1, 2, 0, 1, 0], batch.Positions);
        Assert.Equal([0, 0, 0, 1, 1, -1], batch.Segments);
        Assert.Equal([8, 9, -100, 6, -100, -100], batch.Targets);
        Assert.Equal((3, true), (batch.LabelCount, batch.Packed));
    }

    [Theory]
    [InlineData(false, false)]
    [InlineData(true, false)]
    [InlineData(false, true)]
    public void Every_example_comes_once_a_pass_in_a_new_order(bool group, bool pack)
    {
        var examples = Examples(101);
        var batcher = new Batcher(examples,
            new BatcherOptions { BatchSize = 4, GroupByLength = group, Pack = pack, RowLength = 64 });
        var batch = new Batch();
        var orders = new List<int[]>();
        for (int epoch = 0; epoch < 2; epoch++)
        {
            var seen = new List<int>();
            int labels = 0;
            for (int i = 0; i < batcher.BatchesPerEpoch; i++)
            {
                batcher.Next(batch);
                seen.AddRange(batch.Ids.ToArray().Where(id => id >= 1000));
                labels += batch.LabelCount;
            }
            Assert.Equal(new BatcherState(epoch + 1, 0), batcher.State);
            Assert.Equal(Enumerable.Range(1000, 101), seen.Order());
            Assert.Equal(examples.Sum(example => example.LabelCount), labels);
            orders.Add([.. seen]);
        }
        Assert.NotEqual(orders[0], orders[1]);
    }

    [Fact]
    public void Grouping_by_length_pads_less()
    {
        var examples = Examples(400);
        int Cells(bool group)
        {
            var batcher = new Batcher(examples,
                new BatcherOptions { BatchSize = 8, GroupByLength = group, PadToMultipleOf = 1 });
            var batch = new Batch();
            int cells = 0;
            for (int i = 0; i < batcher.BatchesPerEpoch; i++)
            {
                batcher.Next(batch);
                cells += batch.B * batch.T;
            }
            return cells;
        }
        Assert.True(Cells(true) < 0.75 * Cells(false));
    }

    [Theory]
    [InlineData(false)]
    [InlineData(true)]
    public void Setting_the_state_resumes_exactly(bool pack)
    {
        var options = new BatcherOptions { BatchSize = 3, Pack = pack, RowLength = 50, GroupByLength = !pack };
        var whole = new Batcher(Examples(50), options);
        var batch = new Batch();
        var batches = new List<(int[], int[], int, int)>();
        for (int i = 0; i < 2 * whole.BatchesPerEpoch; i++)
        {
            whole.Next(batch);
            batches.Add(Copy(batch));
        }
        int from = whole.BatchesPerEpoch + 3;
        var resumed = new Batcher(Examples(50), options) { State = new BatcherState(1, 3) };
        for (int i = from; i < batches.Count; i++)
        {
            resumed.Next(batch);
            Assert.Equivalent(batches[i], Copy(batch), strict: true);
        }
    }

    [Fact]
    public void Taking_a_batch_allocates_nothing_within_a_pass()
    {
        var batcher = new Batcher(Examples(200), new BatcherOptions { BatchSize = 4, Shuffle = false });
        var batch = new Batch();
        for (int i = 0; i < batcher.BatchesPerEpoch; i++) batcher.Next(batch);
        batcher.Next(batch);
        long before = GC.GetAllocatedBytesForCurrentThread();
        for (int i = 1; i < batcher.BatchesPerEpoch - 1; i++) batcher.Next(batch);
        Assert.Equal(before, GC.GetAllocatedBytesForCurrentThread());
    }

    [Fact]
    public void Packing_fits_tightly()
    {
        var random = new Random(5);
        var lengths = Enumerable.Range(0, 2000).Select(_ => random.Next(1, 129)).ToArray();
        var rows = Packing.BestFitDecreasing(lengths, 128);
        Assert.Equal(Enumerable.Range(0, 2000), rows.SelectMany(row => row).Order());
        Assert.All(rows, row => Assert.InRange(row.Sum(i => lengths[i]), 1, 128));
        // No packing can use fewer rows than the tokens fill; best-fit decreasing is at most 11/9 of the best plus one.
        int least = (lengths.Sum() + 127) / 128;
        Assert.InRange(rows.Count, least, least * 11 / 9 + 1);
        Assert.Throws<ArgumentException>(() => Packing.BestFitDecreasing([129], 128));
    }

    // Fixed values: the order is part of the promise that a seed means the same run everywhere.
    [Fact]
    public void The_order_of_a_seed_never_changes()
    {
        Assert.Equal(Enumerable.Range(0, 1000), Permutation.Of(1000, 42, 0).Order());
        Assert.Equal(Permutation.Of(10, 42, 0), Permutation.Of(10, 42, 0));
        Assert.NotEqual(Permutation.Of(10, 42, 0), Permutation.Of(10, 42, 1));
        Assert.Equal(FromPaper(42, 0, 8), Permutation.Of(8, 42, 0));
    }

    [Fact]
    public void A_split_is_disjoint_complete_and_at_least_one()
    {
        var (train, held) = Permutation.Split(100, 0.1, 1);
        Assert.Equal((90, 10), (train.Length, held.Length));
        Assert.Equal(Enumerable.Range(0, 100), train.Concat(held).Order());
        Assert.Single(Permutation.Split(5, 0.001, 1).HeldOut);
        Assert.Empty(Permutation.Split(5, 0, 1).HeldOut);
        Assert.Throws<UserErrorException>(() => Permutation.Split(5, 1, 1));
        Assert.Throws<UserErrorException>(() => Permutation.Split(1, 0.5, 1));
    }

    // SplitMix64 and Fisher-Yates once more, with 128-bit integers instead of BigMul.
    private static int[] FromPaper(uint seed, uint stream, int count)
    {
        static ulong Mix(ulong z)
        {
            z = (z ^ (z >> 30)) * 0xBF58476D1CE4E5B9;
            z = (z ^ (z >> 27)) * 0x94D049BB133111EB;
            return z ^ (z >> 31);
        }
        var order = Enumerable.Range(0, count).ToArray();
        ulong state = Mix(((ulong)seed << 32) | stream);
        for (int i = count - 1; i > 0; i--)
        {
            state += 0x9E3779B97F4A7C15;
            int j = (int)(((UInt128)Mix(state) * (UInt128)(i + 1)) >> 64);
            (order[i], order[j]) = (order[j], order[i]);
        }
        return order;
    }
}
