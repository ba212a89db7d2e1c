namespace CudaLora.Lora;

/// <summary>
/// A padded batch (B, T), row-major. Its buffers are reused: what it holds is valid until the next batch is taken.
/// </summary>
public sealed class Batch
{
    private readonly List<SftExample> _examples = [];
    private int[] _ids = [], _labels = [], _targets = [], _positions = [], _segments = [], _lengths = [];

    /// <summary>Rows.</summary>
    public int B { get; private set; }

    /// <summary>Columns: the longest row, rounded up to the padding multiple.</summary>
    public int T { get; private set; }

    /// <summary>True when some row holds more than one example, so attention must stay within segments.</summary>
    public bool Packed { get; private set; }

    /// <summary>Token ids (B, T); the padding id after a row's end.</summary>
    public ReadOnlySpan<int> Ids => _ids.AsSpan(0, B * T);

    /// <summary>Labels (B, T), not shifted: label t belongs to id t. -100 where nothing is learned.</summary>
    public ReadOnlySpan<int> Labels => _labels.AsSpan(0, B * T);

    /// <summary>Targets (B, T): what the logits at t are to predict, which is label t + 1 of the same segment, else
    /// -100.</summary>
    public ReadOnlySpan<int> Targets => _targets.AsSpan(0, B * T);

    /// <summary>Positions (B, T), from 0 in every segment; 0 in padding.</summary>
    public ReadOnlySpan<int> Positions => _positions.AsSpan(0, B * T);

    /// <summary>Segments (B, T): the example's number within its row, from 0; -1 in padding.</summary>
    public ReadOnlySpan<int> Segments => _segments.AsSpan(0, B * T);

    /// <summary>The examples in the order of the rows.</summary>
    public IReadOnlyList<SftExample> Examples => _examples;

    /// <summary>Tokens of each row without padding (B).</summary>
    public ReadOnlySpan<int> Lengths => _lengths.AsSpan(0, B);

    /// <summary>Tokens without padding.</summary>
    public int TokenCount { get; private set; }

    /// <summary>Targets that are learned: the loss's divisor.</summary>
    public int LabelCount { get; private set; }

    /// <summary>Examples in the batch.</summary>
    public int ExampleCount { get; private set; }

    internal void Fill(IReadOnlyList<SftExample> examples, IReadOnlyList<int[]> rows, int first, int count, int padId,
        int multiple)
    {
        int longest = 1;
        for (int r = first; r < first + count; r++) longest = Math.Max(longest, LengthOf(examples, rows[r]));
        (B, T) = (count, (longest + multiple - 1) / multiple * multiple);
        Reserve(B * T, B);
        (TokenCount, LabelCount, ExampleCount, Packed) = (0, 0, 0, false);
        _examples.Clear();
        for (int r = 0; r < count; r++) FillRow(examples, rows[first + r], r, padId);
    }

    private void FillRow(IReadOnlyList<SftExample> examples, int[] row, int r, int padId)
    {
        int start = r * T, at = start, segment = 0;
        foreach (int index in row)
        {
            var example = examples[index];
            _examples.Add(example);
            int length = example.Ids.Length;
            example.Ids.CopyTo(_ids, at);
            example.Labels.CopyTo(_labels, at);
            // Nothing in the segment comes before its first token, so nothing can learn it.
            _labels[at] = SftExample.Ignored;
            _labels.AsSpan(at + 1, length - 1).CopyTo(_targets.AsSpan(at));
            _targets[at + length - 1] = SftExample.Ignored;
            _segments.AsSpan(at, length).Fill(segment);
            for (int t = 0; t < length; t++)
            {
                _positions[at + t] = t;
                if (_targets[at + t] != SftExample.Ignored) LabelCount++;
            }
            at += length;
            segment++;
        }
        int used = at - start;
        _lengths[r] = used;
        TokenCount += used;
        ExampleCount += row.Length;
        Packed |= row.Length > 1;
        int rest = T - used;
        _ids.AsSpan(at, rest).Fill(padId);
        _labels.AsSpan(at, rest).Fill(SftExample.Ignored);
        _targets.AsSpan(at, rest).Fill(SftExample.Ignored);
        _positions.AsSpan(at, rest).Clear();
        _segments.AsSpan(at, rest).Fill(-1);
    }

    private static int LengthOf(IReadOnlyList<SftExample> examples, int[] row)
    {
        int length = 0;
        foreach (int index in row) length += examples[index].Ids.Length;
        return length;
    }

    private void Reserve(int cells, int rows)
    {
        if (_ids.Length < cells)
            (_ids, _labels, _targets, _positions, _segments) =
                (new int[cells], new int[cells], new int[cells], new int[cells], new int[cells]);
        if (_lengths.Length < rows) _lengths = new int[rows];
    }
}
