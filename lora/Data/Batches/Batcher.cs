using CudaLora.Engine;

namespace CudaLora.Lora;

/// <summary>How examples become batches.</summary>
public sealed record BatcherOptions
{
    /// <summary>Rows of a batch; the last batch of an epoch may have fewer.</summary>
    public int BatchSize { get; init; } = 8;

    /// <summary>Seed of the order.</summary>
    public int Seed { get; init; } = 42;

    /// <summary>New order in every epoch; false keeps the order of the data.</summary>
    public bool Shuffle { get; init; } = true;

    /// <summary>Put examples of similar length together, to pad less.</summary>
    public bool GroupByLength { get; init; }

    /// <summary>Fill rows of <see cref="RowLength"/> with several examples, kept apart by segment ids.</summary>
    public bool Pack { get; init; }

    /// <summary>
    /// So many neighbours of the data stay together, as rows one after the other: 2 for preference pairs. Batches,
    /// order and counts are then in groups. Not with <see cref="Pack"/>.
    /// </summary>
    public int GroupSize { get; init; } = 1;

    /// <summary>Room of a packed row, in tokens.</summary>
    public int RowLength { get; init; } = 1024;

    /// <summary>Row lengths are rounded up to a multiple of this.</summary>
    public int PadToMultipleOf { get; init; } = 8;

    /// <summary>Id written into padding. It is never learned and, in causal attention, never seen.</summary>
    public int PadId { get; init; }
}

/// <summary>Where a batcher stands.</summary>
/// <param name="Epoch">Passes completed.</param>
/// <param name="Position">Batches taken in this pass.</param>
public readonly record struct BatcherState(int Epoch, int Position);

/// <summary>
/// Endless batches over a data set, pass after pass. The batch at a given <see cref="State"/> depends on nothing but
/// the data and the options, so setting the state resumes exactly.
/// </summary>
public sealed class Batcher
{
    // As in Hugging Face's LengthGroupedSampler: sort within this many batches, so that the order stays mostly random.
    private const int BatchesPerGroup = 50;

    private readonly IReadOnlyList<SftExample> _examples;
    private readonly BatcherOptions _options;
    private readonly IReadOnlyList<int[]> _rows;
    private readonly int[] _lengths;
    private readonly int[][] _ordered;
    private int _orderedEpoch = -1;

    /// <param name="examples">The data; at least one example.</param>
    /// <param name="options">See there.</param>
    /// <exception cref="UserErrorException">No example, one that is empty or has more or fewer labels than ids, or a
    /// size that is not positive.</exception>
    public Batcher(IReadOnlyList<SftExample> examples, BatcherOptions? options = null)
    {
        _examples = examples;
        _options = options ?? new BatcherOptions();
        if (examples.Count == 0) throw new UserErrorException("[data] must hold at least one example, but is empty");
        for (int i = 0; i < examples.Count; i++)
        {
            if (examples[i].Ids.Length == 0 || examples[i].Ids.Length != examples[i].Labels.Length)
                throw new UserErrorException("[data] an example must have ids and as many labels, but example "
                    + $"{i} has {examples[i].Ids.Length} and {examples[i].Labels.Length}");
        }
        if (_options.BatchSize < 1 || _options.PadToMultipleOf < 1)
            throw new UserErrorException("[batch] batch size and padding multiple must be positive, but got "
                + $"{_options.BatchSize} and {_options.PadToMultipleOf}");
        if (_options.GroupSize < 1 || examples.Count % _options.GroupSize != 0
            || (_options.Pack && _options.GroupSize > 1))
            throw new ArgumentException("[batch] group size must divide the examples, and be 1 with packing, but got "
                + $"{_options.GroupSize} and {examples.Count} examples");
        _rows = _options.Pack
            ? Packing.BestFitDecreasing(examples.Select(example => example.Length).ToArray(), _options.RowLength)
            : Enumerable.Range(0, examples.Count / _options.GroupSize)
                .Select(i => Enumerable.Range(i * _options.GroupSize, _options.GroupSize).ToArray()).ToArray();
        _lengths = _rows.Select(row => row.Sum(i => examples[i].Length)).ToArray();
        _ordered = new int[_rows.Count * _options.GroupSize][];
    }

    /// <summary>Rows of one pass: examples, packed rows, or groups.</summary>
    public int RowsPerEpoch => _rows.Count;

    /// <summary>Batches of one pass.</summary>
    public int BatchesPerEpoch => (_rows.Count + _options.BatchSize - 1) / _options.BatchSize;

    /// <summary>The next batch to be taken; may be set.</summary>
    public BatcherState State { get; set; }

    /// <summary>Fills <paramref name="batch"/> with the next batch and moves on, into the next pass if need
    /// be.</summary>
    public void Next(Batch batch)
    {
        var (epoch, position) = State;
        epoch += position / BatchesPerEpoch;
        position %= BatchesPerEpoch;
        if (_orderedEpoch != epoch) Order(epoch);
        int size = _options.BatchSize * _options.GroupSize, first = position * size;
        batch.Fill(_examples, _ordered, first, Math.Min(size, _ordered.Length - first), _options.PadId,
            _options.PadToMultipleOf);
        bool last = position + 1 == BatchesPerEpoch;
        State = last ? new BatcherState(epoch + 1, 0) : new BatcherState(epoch, position + 1);
    }

    private void Order(int epoch)
    {
        var order = _options.Shuffle
            ? Permutation.Of(_rows.Count, _options.Seed, epoch)
            : Enumerable.Range(0, _rows.Count).ToArray();
        if (_options.GroupByLength) GroupByLength(order, epoch);
        int group = _options.GroupSize;
        for (int i = 0; i < _ordered.Length; i++)
            _ordered[i] = group == 1 ? _rows[order[i]] : [_rows[order[i / group]][i % group]];
        _orderedEpoch = epoch;
    }

    private void GroupByLength(int[] order, int epoch)
    {
        int size = _options.BatchSize, group = size * BatchesPerGroup;
        for (int at = 0; at < order.Length; at += group)
        {
            int count = Math.Min(group, order.Length - at);
            var sorted = order.AsSpan(at, count).ToArray().OrderByDescending(row => _lengths[row]).ToArray();
            sorted.CopyTo(order, at);
        }
        if (!_options.Shuffle) return;
        // Whole batches change places, so that long ones are not always first. The short last batch stays last.
        var batches = order.Chunk(size).ToArray();
        int whole = order.Length / size;
        Permutation.Shuffle(batches.AsSpan(0, whole), _options.Seed, ~epoch);
        batches.SelectMany(batch => batch).ToArray().CopyTo(order, 0);
    }
}
