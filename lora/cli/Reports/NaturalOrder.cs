namespace CudaLora.Cli;

/// <summary>Orders names as people do: layers.2 before layers.10.</summary>
internal sealed class NaturalOrder : IComparer<string>
{
    public static NaturalOrder Comparer { get; } = new();

    public int Compare(string? x, string? y)
    {
        ReadOnlySpan<char> a = x;
        ReadOnlySpan<char> b = y;
        while (a.Length > 0 && b.Length > 0)
        {
            var (runA, runB) = (Digits(a), Digits(b));
            var order = runA > 0 && runB > 0 ? CompareNumbers(a[..runA], b[..runB]) : a[0].CompareTo(b[0]);
            if (order != 0) return order;
            a = a[Math.Max(1, runA)..];
            b = b[Math.Max(1, runB)..];
        }
        return a.Length != b.Length ? a.Length.CompareTo(b.Length) : string.CompareOrdinal(x, y);
    }

    private static int CompareNumbers(ReadOnlySpan<char> a, ReadOnlySpan<char> b)
    {
        a = a.TrimStart('0');
        b = b.TrimStart('0');
        return a.Length != b.Length ? a.Length.CompareTo(b.Length) : a.SequenceCompareTo(b);
    }

    private static int Digits(ReadOnlySpan<char> text)
    {
        var count = 0;
        while (count < text.Length && char.IsAsciiDigit(text[count])) count++;
        return count;
    }
}
