namespace CudaLora.Cli;

/// <summary>One statement about LoRA, made measurable: runs in seconds to minutes and ends in a report.</summary>
internal abstract class LabExperiment(string name, string summary)
{
    /// <summary>The word after <c>cudalora lab</c>.</summary>
    public string Name { get; } = name;

    /// <summary>What it shows, in a line.</summary>
    public string Summary { get; } = summary;

    /// <summary>Measures it.</summary>
    public abstract LabReport Run(LabOptions options);
}
