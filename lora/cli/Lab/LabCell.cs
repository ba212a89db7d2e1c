using System.Text.Json.Nodes;
using CudaLora.Lora;

namespace CudaLora.Cli;

/// <summary>LoRA with some settings, trained once per seed.</summary>
internal sealed class LabCell(string name, LoraConfig config, double rate = LabCell.UsualRate, double ratio = 1)
{
    public const double UsualRate = 2e-3;

    public string Name => name;

    public LoraConfig Config => config;

    public double Rate => rate;

    /// <summary>Learning rate of B over that of A: LoRA+.</summary>
    public double Ratio => ratio;

    public long Trained { get; private set; }

    /// <summary>Held-out loss by step, mean over the seeds.</summary>
    public IReadOnlyList<(int Step, double Loss)> Curve { get; private set; } = [];

    /// <summary>At the end.</summary>
    public double Loss => Curve[^1].Loss;

    /// <summary>Largest distance of a seed's final loss from the mean.</summary>
    public double Spread { get; private set; }

    /// <summary>As text; one seed has none.</summary>
    public string SpreadText { get; private set; } = "-";

    /// <summary>The first scored step with a loss of at most this, or null.</summary>
    public int? StepsTo(double loss) =>
        Curve.Where(point => point.Loss <= loss).Select(point => (int?)point.Step).FirstOrDefault();

    public LabCell Run(LabOptions options, int steps)
    {
        options.Note($"{name}: {steps} steps, {options.SeedsText}");
        var curves = options.Seeds.Select(seed => One(options, seed, steps)).ToArray();
        Curve = [.. curves[0].Select((point, i) => (point.Step, curves.Average(curve => curve[i].Loss)))];
        Spread = curves.Max(curve => Math.Abs(curve[^1].Loss - Loss));
        if (curves.Length > 1) SpreadText = Figures.Loss(Spread);
        return this;
    }

    public JsonObject ToJson() => new()
    {
        ["name"] = name,
        ["r"] = config.R,
        ["alpha"] = config.LoraAlpha,
        ["rslora"] = config.UseRsLora,
        ["learning_rate"] = rate,
        ["loraplus_ratio"] = ratio,
        ["trainable_parameters"] = Trained,
        ["held_out_loss"] = ReportJson.Number(Loss),
        ["spread"] = ReportJson.Number(Spread),
        ["steps"] = LabNumbers.Array(Curve.Select(point => (double)point.Step)),
        ["losses"] = LabNumbers.Array(Curve.Select(point => point.Loss)),
    };

    private List<(int Step, double Loss)> One(LabOptions options, int seed, int steps)
    {
        using var training = LabTraining.Load(options, seed);
        using var adapter = training.Lora(config);
        Trained = adapter.AddedParameters;
        IFineTuning method = ratio == 1 ? new LoraFineTuning(adapter) : new LoraPlusFineTuning(adapter, ratio);
        var scores = new Scores();
        training.Run(method, steps, rate, scores, Math.Max(1, steps / 6));
        if (scores.Points.Count == 0 || scores.Points[^1].Step < steps)
            scores.Points.Add((steps, training.HeldOutLoss()));
        return scores.Points;
    }

    private sealed class Scores : ITrainerObserver
    {
        public List<(int Step, double Loss)> Points { get; } = [];

        public void OnEvaluate(in EvalReport report) => Points.Add((report.Step, report.Loss));
    }
}
