namespace CudaLora.Cli;

/// <summary>What an experiment works on, and how much of it.</summary>
/// <param name="Model">Model folder.</param>
/// <param name="Data">Training records.</param>
/// <param name="EvalData">Held-out records; null takes every tenth record of the data.</param>
/// <param name="Seed">Of every draw; further seeds follow it.</param>
/// <param name="Quick">One seed and few steps.</param>
/// <param name="MaxSteps">Overrides the steps of each training, or null.</param>
/// <param name="Note">Is told what happens meanwhile.</param>
internal sealed record LabOptions(
    string Model, string Data, string? EvalData, int Seed, bool Quick, int? MaxSteps, Action<string> Note)
{
    /// <summary>The seeds of repeated runs.</summary>
    public IReadOnlyList<int> Seeds => [.. Enumerable.Range(Seed, Quick ? 1 : 3)];

    public string SeedsText => Seeds.Count == 1 ? "1 seed" : $"{Seeds.Count} seeds";

    /// <summary>What the numbers are of, for the page.</summary>
    public string About => $"Model {NameOf(Model)}, training records {NameOf(Data)}, "
        + (Seeds.Count == 1 ? $"seed {Seed}." : $"seeds {string.Join(", ", Seeds)}.");

    /// <summary>Optimiser steps of a training.</summary>
    public int Steps(int quick, int full) => MaxSteps ?? (Quick ? quick : full);

    // The last two parts of a path: enough to know it, and nothing of the machine.
    private static string NameOf(string path) => string.Join('/', Path.GetFullPath(path)
        .Split(Path.DirectorySeparatorChar, StringSplitOptions.RemoveEmptyEntries).TakeLast(2));
}
