using System.Globalization;
using System.Text.Json.Nodes;
using CudaLora.Lora;

namespace CudaLora.Cli;

/// <summary>
/// Who gets a gradient when: y = W0 x + s B A x gives dB = s dY (A x)ᵀ and dA = s Bᵀ dY xᵀ, so what is zero on one side
/// stops the other (Hu et al. 2021, section 4.1).
/// </summary>
internal sealed class InitExperiment() : LabExperiment(
    "init", "Gradients of A and B in the first steps, for random and zero first values",
    "Each run starts LoRA of rank 8 on all linear layers from other first values of A and B. The lines are the norms "
    + "of the gradients of all A together, and of all B, at each step; a start without a line had a gradient of zero.")
{
    private const int Rank = 8;
    private const double Rate = 2e-3;

    private static readonly (string Name, LoraInit Init)[] Starts =
    [
        ("A random, B zero", LoraInit.Gaussian), ("both zero", LoraInit.BothZero),
        ("both random", LoraInit.BothGaussian), ("A zero, B random", LoraInit.ZeroA),
    ];

    public override LabReport Run(LabOptions options)
    {
        // One more: the gradient at step 20 is what step 21 uses.
        var steps = options.Steps(21, 21);
        Start[] starts = [.. Starts.Select(start => Measure(options, steps, start.Name, start.Init))];
        string[] columns = ["start", "dA at 0", "dB at 0", "dA at 1", "dB at 1", "A moved", "B moved",
            "first loss", "last loss"];
        var table = new LabTable(
            $"Norms over all layers, and held-out loss before and after {steps} steps "
                + $"(without an adapter {Figures.Loss(starts[0].BaseLoss)})", columns,
            [.. starts.Select(s => s.Row())]);
        var numbers = new JsonObject
        {
            ["steps"] = steps,
            ["rank"] = Rank,
            ["learning_rate"] = Rate,
            ["starts"] = new JsonArray([.. starts.Select(s => s.ToJson())]),
        };
        return new LabReport(
            Name, "First values: who gets a gradient", numbers, [table],
            [
                Picture("init_a", "gradient of A", s => s.GradA, starts),
                Picture("init_b", "gradient of B", s => s.GradB, starts),
                LabPlot.Lines("init_loss", "training loss", "step", "loss per token",
                    [.. starts.Select(s => LabCurve.OfSteps(s.Name, s.Losses))]),
            ],
            Explain(starts, steps));
    }

    private static LabPicture Picture(
        string name, string title, Func<Start, IReadOnlyList<double>> values, Start[] starts) => LabPlot.Lines(
            name, $"{title}, norm over all layers (zero is not drawn)", "step", "norm",
            [.. starts.Select(s => LabCurve.OfSteps(s.Name, values(s)))], logY: true);

    private static string[] Explain(Start[] starts, int steps)
    {
        var (usual, zero, both, late) = (starts[0], starts[1], starts[2], starts[3]);
        var still = zero.MovedA == 0 && zero.MovedB == 0 && zero.GradA.Concat(zero.GradB).All(g => g == 0);
        return
        [
            $"With A random and B zero the first gradient of A is {Text(usual.GradA[0])} and that of B "
                + $"{Text(usual.GradB[0])}: B moves first, and A gets its first gradient, "
                + $"{Text(usual.GradA[Math.Min(1, steps - 1)])}, at step 1, once B is no longer zero.",
            $"With both zero {(still ? $"no gradient and no change in {steps} steps: nothing ever moves" : "something moved")}"
                + $"; with both random the first held-out loss is {Figures.Loss(both.FirstLoss)} instead of the base "
                + $"model's {Figures.Loss(both.BaseLoss)}, so the first output is "
                + $"{(both.FirstLoss == both.BaseLoss ? "the same." : "disturbed.")}",
            $"With A zero and B random the roles are swapped (first gradients {Text(late.GradA[0])} of A, "
                + $"{Text(late.GradB[0])} of B); after {steps} steps its held-out loss is {Figures.Loss(late.LastLoss)} "
                + $"against {Figures.Loss(usual.LastLoss)}: "
                + (late.LastLoss > usual.LastLoss ? "it lags." : "it does not lag here."),
        ];
    }

    // Three digits that count.
    private static string Text(double value) => value == 0 ? "0" : value.ToString(
        value switch { < 1e-3 => "0.00e-0", < 1 => "0.000", < 10 => "0.00", _ => "0.0" }, CultureInfo.InvariantCulture);

    // All of it for the first seed; the loss at the end is the mean over all seeds.
    private static Start Measure(LabOptions options, int steps, string name, LoraInit init)
    {
        options.Note($"init: {name}");
        Start[] runs = [.. options.Seeds.Select(seed => Measure(options, seed, steps, name, init))];
        runs[0].LastLosses = [.. runs.SelectMany(run => run.LastLosses)];
        return runs[0];
    }

    private static Start Measure(LabOptions options, int seed, int steps, string name, LoraInit init)
    {
        using var training = LabTraining.Load(options, seed);
        var start = new Start(name) { BaseLoss = training.HeldOutLoss() };
        using var adapter = training.Lora(new LoraConfig
        {
            R = Rank,
            LoraAlpha = 2 * Rank,
            TargetModules = ModuleSelector.AllLinear,
            InitLoraWeights = init,
        });
        start.FirstLoss = training.HeldOutLoss();
        start.Watch(adapter);
        training.Run(new LoraFineTuning(adapter), steps, Rate, start);
        start.End();
        start.LastLosses = [training.HeldOutLoss()];
        return start;
    }

    /// <summary>What one start did.</summary>
    private sealed class Start(string name) : ITrainerObserver
    {
        private LoraAdapter adapter = null!;
        private float[][] firstA = [];
        private float[][] firstB = [];

        public string Name => name;

        public double BaseLoss { get; init; }

        public double FirstLoss { get; set; }

        public double[] LastLosses { get; set; } = [];

        public double LastLoss => LastLosses.Average();

        public double MovedA { get; private set; }

        public double MovedB { get; private set; }

        public List<double> GradA { get; } = [];

        public List<double> GradB { get; } = [];

        public List<double> Losses { get; } = [];

        public void Watch(LoraAdapter watched)
        {
            adapter = watched;
            firstA = [.. adapter.Layers.Select(layer => layer.A.Value.ToArray())];
            firstB = [.. adapter.Layers.Select(layer => layer.B.Value.ToArray())];
        }

        // The gradients of a step stay until the next one.
        public void OnStep(in StepReport report)
        {
            GradA.Add(Norm(adapter.Layers.Select(layer => layer.A.Value.Grad?.ToArray() ?? [])));
            GradB.Add(Norm(adapter.Layers.Select(layer => layer.B.Value.Grad?.ToArray() ?? [])));
            Losses.Add(report.Loss);
        }

        public void End()
        {
            MovedA = Norm(adapter.Layers.Select((layer, i) => Difference(layer.A.Value.ToArray(), firstA[i])));
            MovedB = Norm(adapter.Layers.Select((layer, i) => Difference(layer.B.Value.ToArray(), firstB[i])));
        }

        public string[] Row() =>
        [
            name, Text(GradA[0]), Text(GradB[0]), Text(GradA[Math.Min(1, GradA.Count - 1)]),
            Text(GradB[Math.Min(1, GradB.Count - 1)]), Text(MovedA), Text(MovedB), Figures.Loss(FirstLoss),
            Figures.Loss(LastLoss),
        ];

        public JsonObject ToJson() => new()
        {
            ["start"] = name,
            ["base_loss"] = BaseLoss,
            ["first_loss"] = FirstLoss,
            ["last_loss"] = LastLoss,
            ["last_losses"] = LabNumbers.Array(LastLosses),
            ["moved_a"] = MovedA,
            ["moved_b"] = MovedB,
            ["grad_a"] = LabNumbers.Array(GradA),
            ["grad_b"] = LabNumbers.Array(GradB),
            ["loss"] = LabNumbers.Array(Losses),
        };

        private static float[] Difference(float[] x, float[] y) => [.. x.Zip(y, (a, b) => a - b)];

        private static double Norm(IEnumerable<float[]> parts) =>
            Math.Sqrt(parts.Sum(part => part.Sum(v => (double)v * v)));
    }
}
