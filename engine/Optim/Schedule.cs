namespace CudaLora.Engine;

/// <summary>
/// Learning-rate multiplier by optimiser step, as in Hugging Face's <c>optimization.py</c>. The first step of a warm-up
/// has multiplier 0.
/// </summary>
public sealed class Schedule
{
    private readonly Func<double, double> shape;
    private readonly bool decays;

    private Schedule(string name, int warmup, int total, bool decays, Func<double, double> shape)
    {
        Name = name;
        WarmupSteps = warmup;
        TotalSteps = total;
        this.decays = decays;
        this.shape = shape;
    }

    /// <summary>The names <see cref="Create"/> accepts.</summary>
    public static IReadOnlyList<string> Names { get; } =
    [
        "linear", "cosine", "cosine_with_restarts", "cosine_with_min_lr", "polynomial", "inverse_sqrt", "constant",
        "constant_with_warmup",
    ];

    /// <summary>Name of the shape.</summary>
    public string Name { get; }

    /// <summary>Steps of linear rise from 0.</summary>
    public int WarmupSteps { get; }

    /// <summary>Steps of the whole run.</summary>
    public int TotalSteps { get; }

    /// <summary>A schedule by name.</summary>
    /// <param name="name">One of <see cref="Names"/>.</param>
    /// <param name="warmupSteps">Steps of warm-up; below 1 a share of <paramref name="totalSteps"/>, rounded
    /// up.</param>
    /// <param name="totalSteps">Steps of the run.</param>
    /// <param name="minimum">Lowest multiplier of cosine_with_min_lr.</param>
    /// <param name="cycles">Restarts of cosine_with_restarts.</param>
    /// <param name="power">Exponent of polynomial.</param>
    /// <param name="end">Last multiplier of polynomial: Hugging Face's lr_end over the peak.</param>
    public static Schedule Create(
        string name, double warmupSteps, int totalSteps, double minimum = 0.1, int cycles = 1, double power = 1,
        double end = 0)
    {
        if (!(warmupSteps >= 0))
            throw new ArgumentException($"[schedule] warm-up must not be negative, but got {warmupSteps}");
        var warmup = (int)Math.Ceiling(warmupSteps < 1 ? warmupSteps * totalSteps : warmupSteps);
        return name switch
        {
            "linear" => Decaying(p => 1 - p),
            "cosine" => Decaying(Cosine),
            "cosine_with_min_lr" => Decaying(p => minimum + ((1 - minimum) * Cosine(p))),
            "cosine_with_restarts" => Decaying(p => p >= 1 ? 0 : Cosine(cycles * p % 1)),
            "polynomial" => Decaying(p => end + ((1 - end) * Math.Pow(1 - p, power))),
            "inverse_sqrt" => new(name, warmup, totalSteps, false, t => InverseSqrt(t, warmup)),
            "constant" => new(name, 0, totalSteps, false, _ => 1),
            "constant_with_warmup" => new(name, warmup, totalSteps, false, _ => 1),
            _ => throw new ArgumentException(
                $"[schedule] name must be one of {string.Join(", ", Names)}, but got {name}"),
        };

        Schedule Decaying(Func<double, double> f) => new(name, warmup, totalSteps, true, f);
    }

    /// <summary>Multiplier for the step after <paramref name="stepsDone"/> steps.</summary>
    public double At(int stepsDone)
    {
        if (stepsDone < WarmupSteps)
            return (double)stepsDone / WarmupSteps;
        if (!decays)
            return shape(stepsDone);
        var progress = (double)(stepsDone - WarmupSteps) / Math.Max(1, TotalSteps - WarmupSteps);
        return Math.Max(0, shape(Math.Min(1, progress)));
    }

    private static double Cosine(double progress) => 0.5 * (1 + Math.Cos(Math.PI * progress));

    private static double InverseSqrt(double step, int warmup)
    {
        // Without a warm-up Hugging Face shifts by 10,000 steps.
        var timescale = warmup > 0 ? warmup : 10_000;
        return 1 / Math.Sqrt((step + (timescale - warmup)) / timescale);
    }
}
