namespace CudaLora.Lora;

/// <summary>
/// Loss and speed of a run: the mean since the last log row, tokens per second over the last steps, time left.
/// </summary>
internal sealed class RunMeter(int firstStep, int totalSteps)
{
    private const int Window = 20;

    private readonly (double Seconds, long Tokens)[] marks = new (double, long)[Window + 1];
    private double windowLoss;
    private int windowSteps;
    private double lossSum;

    public int Steps { get; private set; }

    public long Tokens { get; private set; }

    public double MeanLoss => Steps == 0 ? 0 : lossSum / Steps;

    public double TokensPerSecond
    {
        get
        {
            var (now, before) = Span();
            return (now.Tokens - before.Tokens) / Math.Max(1e-9, now.Seconds - before.Seconds);
        }
    }

    public TimeSpan Remaining
    {
        get
        {
            var (now, before) = Span();
            var perStep = (now.Seconds - before.Seconds) / Math.Max(1, Math.Min(Steps, Window));
            return TimeSpan.FromSeconds(perStep * (totalSteps - firstStep - Steps));
        }
    }

    public void Add(StepOutcome outcome, double seconds)
    {
        Steps++;
        Tokens += outcome.Tokens;
        lossSum += outcome.Loss;
        windowLoss += outcome.Loss;
        windowSteps++;
        marks[Steps % marks.Length] = (seconds, Tokens);
    }

    /// <summary>Mean loss since the last call.</summary>
    public double TakeWindowLoss()
    {
        var mean = windowLoss / Math.Max(1, windowSteps);
        (windowLoss, windowSteps) = (0, 0);
        return mean;
    }

    private ((double Seconds, long Tokens) Now, (double Seconds, long Tokens) Before) Span() =>
        (marks[Steps % marks.Length], marks[Math.Max(0, Steps - Window) % marks.Length]);
}
