namespace CudaLora.Cli;

/// <summary>What identifies a run.</summary>
/// <param name="Command">The command line as it was given.</param>
/// <param name="ResumeCommand">The command that goes on after an interruption.</param>
/// <param name="Title">For the chart.</param>
/// <param name="Model">The base model's folder.</param>
/// <param name="Data">The training data.</param>
/// <param name="Device">Name of the device.</param>
/// <param name="Seed">Seed of all random draws.</param>
internal sealed record RunFacts(
    string Command, string ResumeCommand, string Title, string Model, string Data, string Device, int Seed);
