namespace CudaLora.Cli;

/// <summary>One short measurement of the catalogue.</summary>
/// <param name="Group">What it belongs to: a colour of the picture, a heading.</param>
/// <param name="Name">Unique in the group.</param>
/// <param name="Bytes">What one call must read and write at least.</param>
/// <param name="Flops">Operations of one call; 0 for what only moves data.</param>
/// <param name="Prepare">Makes the inputs.</param>
internal sealed record BenchCase(string Group, string Name, double Bytes, double Flops, Func<BenchWork> Prepare)
{
    /// <summary>Tokens of one call, 0 where there are none.</summary>
    public double Tokens { get; init; }

    public string Title => $"{Group}: {Name}";
}

/// <summary>The call to time, and what to release after the last one.</summary>
internal sealed class BenchWork(Action call, params IDisposable[] owned) : IDisposable
{
    public void Call() => call();

    public void Dispose()
    {
        foreach (var one in owned) one.Dispose();
    }
}
