namespace CudaLora.Cli;

/// <summary>One statement about LoRA, made measurable: runs in seconds to minutes and ends in a report.</summary>
/// <param name="name">The word after <c>cudalora lab</c>.</param>
/// <param name="summary">What it shows, in a line.</param>
/// <param name="reading">What is compared, and how its pictures and tables are read.</param>
internal abstract class LabExperiment(string name, string summary, string reading)
{
    /// <summary>The word after <c>cudalora lab</c>.</summary>
    public string Name { get; } = name;

    /// <summary>What it shows, in a line.</summary>
    public string Summary { get; } = summary;

    /// <summary>What is compared, and how its pictures and tables are read.</summary>
    public string Reading { get; } = reading;

    /// <summary>Measures it.</summary>
    public abstract LabReport Run(LabOptions options);
}
