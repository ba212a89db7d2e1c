namespace CudaLora.Lora;

/// <summary>The example generator's random draws: built on <see cref="Permutation"/>, so the same everywhere.</summary>
internal sealed class WorldDraw(int seed)
{
    private const int Block = 4096;

    private readonly int[] _numbers = new int[Block];
    private int _taken = Block, _streams;

    /// <summary>A number from 0 to count - 1.</summary>
    public int Below(int count)
    {
        if (_taken == Block)
        {
            Permutation.Of(Block, seed, ++_streams).CopyTo(_numbers, 0);
            _taken = 0;
        }
        return (int)((long)_numbers[_taken++] * count / Block);
    }

    public T Of<T>(IReadOnlyList<T> items) => items[Below(items.Count)];

    /// <summary>0 to count - 1 in random order.</summary>
    public int[] Order(int count) => Permutation.Of(count, seed, ++_streams);
}
