using System.Diagnostics.CodeAnalysis;
using System.Globalization;
using System.Runtime.CompilerServices;
using System.Text;

namespace CudaLora.Engine;

/// <summary>
/// The extents of a row-major tensor, rank 0 (a scalar) to 6. A value type: making one allocates nothing.
/// </summary>
public readonly struct Shape : IEquatable<Shape>
{
    /// <summary>The highest rank a tensor can have.</summary>
    public const int MaxRank = 6;

    private readonly Extents extents;

    private Shape(ReadOnlySpan<int> dims)
    {
        if (dims.Length > MaxRank)
            throw new ArgumentException($"[shape] rank must be at most {MaxRank}, but got {dims.Length}");
        foreach (var d in dims)
        {
            if (d < 0)
                throw new ArgumentException($"[shape] extents must not be negative, but got {d}");
        }
        dims.CopyTo(extents);
        Rank = dims.Length;
    }

    /// <summary>The shape of a scalar: rank 0, one element.</summary>
    public static Shape Scalar => default;

    /// <summary>Number of dimensions.</summary>
    public int Rank { get; }

    /// <summary>Number of elements: the product of the extents, 1 for a scalar.</summary>
    public long Count
    {
        get
        {
            long n = 1;
            for (var i = 0; i < Rank; i++)
                n *= extents[i];
            return n;
        }
    }

    /// <summary>Extent of the last dimension (1 for a scalar).</summary>
    public int Columns => Rank == 0 ? 1 : extents[Rank - 1];

    /// <summary>Product of all extents but the last: the number of rows when the tensor is seen as a matrix.</summary>
    public int Rows
    {
        get
        {
            long n = 1;
            for (var i = 0; i < Rank - 1; i++)
                n *= extents[i];
            return checked((int)n);
        }
    }

    /// <summary>The extents as a span over this value.</summary>
    [UnscopedRef]
    public ReadOnlySpan<int> Dims => ((ReadOnlySpan<int>)extents)[..Rank];

    /// <summary>Extent of dimension <paramref name="axis"/>; <c>^1</c> is the last.</summary>
    public int this[Index axis]
    {
        get
        {
            var i = axis.GetOffset(Rank);
            return (uint)i < (uint)Rank ? extents[i] : throw new ArgumentOutOfRangeException(
                nameof(axis), $"[shape] axis must be within the rank, but got {axis} (shape {this})");
        }
    }

    /// <summary>A shape from its extents, outermost first.</summary>
    public static Shape Of(params ReadOnlySpan<int> dims) => new(dims);

    /// <summary>This shape with dimension <paramref name="axis"/> set to <paramref name="extent"/>.</summary>
    public Shape With(Index axis, int extent)
    {
        Span<int> dims = stackalloc int[MaxRank];
        Dims.CopyTo(dims);
        dims[axis.GetOffset(Rank)] = extent;
        return new Shape(dims[..Rank]);
    }

    /// <summary>This shape with one more dimension at the end.</summary>
    public Shape Append(int extent)
    {
        Span<int> dims = stackalloc int[MaxRank + 1];
        Dims.CopyTo(dims);
        dims[Rank] = extent;
        return new Shape(dims[..(Rank + 1)]);
    }

    /// <inheritdoc/>
    public bool Equals(Shape other) => Dims.SequenceEqual(other.Dims);

    /// <inheritdoc/>
    public override bool Equals(object? obj) => obj is Shape other && Equals(other);

    /// <inheritdoc/>
    public override int GetHashCode()
    {
        var hash = new HashCode();
        foreach (var d in Dims)
            hash.Add(d);
        return hash.ToHashCode();
    }

    /// <summary>Same rank and extents.</summary>
    public static bool operator ==(Shape left, Shape right) => left.Equals(right);

    /// <summary>Different rank or extents.</summary>
    public static bool operator !=(Shape left, Shape right) => !left.Equals(right);

    /// <summary>The extents as people write them: <c>(2, 3)</c>.</summary>
    public override string ToString()
    {
        var text = new StringBuilder("(");
        for (var i = 0; i < Rank; i++)
            text.Append(i == 0 ? "" : ", ").Append(extents[i].ToString(CultureInfo.InvariantCulture));
        return text.Append(')').ToString();
    }

    [InlineArray(MaxRank)]
    private struct Extents
    {
        private int first;
    }
}
