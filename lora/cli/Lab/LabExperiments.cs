namespace CudaLora.Cli;

/// <summary>All experiments, in the order the report has them.</summary>
internal static class LabExperiments
{
    public static IReadOnlyList<LabExperiment> All { get; } =
    [
        new InitExperiment(),
        new RankExperiment(),
        new PlacementExperiment(),
        new SweepExperiment(),
        new ParametersExperiment(),
        new QuantizationExperiment(),
        new KernelExperiment(),
    ];
}
