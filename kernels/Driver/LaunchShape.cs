namespace CudaLora.Kernels.Driver;

/// <summary>Extents in x, y, z; unset extents are 1.</summary>
public readonly record struct Dim3(uint X, uint Y = 1, uint Z = 1)
{
    /// <summary>Number of elements.</summary>
    public ulong Count => (ulong)X * Y * Z;

    /// <summary>A line of <paramref name="x"/>.</summary>
    public static implicit operator Dim3(uint x) => new(x);

    /// <summary>A line of <paramref name="x"/>; negative counts are refused.</summary>
    public static implicit operator Dim3(int x) => new(checked((uint)x));

    /// <inheritdoc/>
    public override string ToString() => $"({X}, {Y}, {Z})";
}

/// <summary>Grid in blocks, block in threads, dynamic shared memory in bytes, cluster in blocks (0 = none).</summary>
public readonly record struct LaunchShape(Dim3 Grid, Dim3 Block, uint SharedBytes = 0, Dim3 Cluster = default)
{
    /// <summary>
    /// Programmatic dependent launch: the kernel may start before the one ahead of it in the stream ends.
    /// </summary>
    public bool Programmatic { get; init; }

    /// <summary>True when a cluster was asked for.</summary>
    public bool HasCluster => Cluster.X != 0;

    /// <inheritdoc/>
    public override string ToString() =>
        $"grid {Grid}, block {Block}, {SharedBytes} B shared" + (HasCluster ? $", cluster {Cluster}" : "");
}
