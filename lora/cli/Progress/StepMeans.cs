using CudaLora.Lora;

namespace CudaLora.Cli;

/// <summary>Mean loss since the last row, so that a row speaks for all its steps.</summary>
internal sealed class StepMeans(int loggingSteps)
{
    private double sum;
    private int count;

    /// <summary>True at the steps that get a row; then <paramref name="loss"/> is the mean since the row
    /// before.</summary>
    public bool Add(in StepReport report, int totalSteps, out double loss)
    {
        sum += report.Loss;
        count++;
        loss = sum / count;
        if (report.Step % loggingSteps != 0 && report.Step != totalSteps) return false;
        (sum, count) = (0, 0);
        return true;
    }
}
