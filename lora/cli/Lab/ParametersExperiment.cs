using System.Globalization;
using System.Text.Json.Nodes;
using CudaLora.Engine;
using CudaLora.Lora;

namespace CudaLora.Cli;

/// <summary>
/// d x d numbers against 2 d r: gradients and optimiser states that are really there after a step, of one layer by
/// width, and of the whole model.
/// </summary>
internal sealed class ParametersExperiment() : LabExperiment(
    "parameters", "What full training and LoRA keep: parameters, gradients, memory, measured",
    "One step of AdamW, of one layer d x d and of the whole model. Counted afterwards: the elements of all gradients, "
    + "the bytes of gradients and moments (state), and the most that all tensors took at a time (peak).")
{
    private const int Rank = 8;
    private const int Tokens = 64;

    public override LabReport Run(LabOptions options)
    {
        int[] widths = options.Quick ? [64, 128, 256] : [64, 128, 256, 512, 1024];
        Layer[] full = [.. widths.Select(width => OfLayer(width, lora: false))];
        Layer[] lora = [.. widths.Select(width => OfLayer(width, lora: true))];
        Layer[] models = [OfModel(options, lora: false), OfModel(options, lora: true)];
        var numbers = new JsonObject
        {
            ["rank"] = Rank,
            ["widths"] = LabNumbers.Array(widths.Select(w => (double)w)),
            ["full"] = new JsonArray([.. full.Select(l => l.ToJson())]),
            ["lora"] = new JsonArray([.. lora.Select(l => l.ToJson())]),
            ["model_full"] = models[0].ToJson(),
            ["model_lora"] = models[1].ToJson(),
        };
        double[] x = [.. widths.Select(w => (double)w)];
        return new LabReport(
            Name, "Parameters: d x d against 2 d r", numbers,
            [
                new LabTable(
                    $"One layer d x d, r {Rank}, after one step of AdamW",
                    ["d", "d x d", "gradients, full", "state, full", "2 d r", "gradients, LoRA", "state, LoRA"],
                    [.. widths.Select((width, i) => new[]
                    {
                        width.ToString(CultureInfo.InvariantCulture), Figures.Count((double)width * width),
                        Figures.Count(full[i].Gradients), Figures.Bytes(full[i].Bytes),
                        Figures.Count(2.0 * width * Rank), Figures.Count(lora[i].Gradients),
                        Figures.Bytes(lora[i].Bytes),
                    })]),
                new LabTable(
                    "The whole model, LoRA on all linear layers",
                    ["method", "gradients", "gradients and moments", "peak memory in use"],
                    [Row("full", models[0]), Row($"LoRA, r {Rank}", models[1])]),
            ],
            [
                LabPlot.Lines(
                    "parameters_layer", "gradient elements of one layer", "width d", "elements",
                    [
                        new LabCurve("full", x, [.. full.Select(l => (double)l.Gradients)]),
                        new LabCurve($"LoRA, r {Rank}", x, [.. lora.Select(l => (double)l.Gradients)]),
                    ],
                    logX: true, logY: true),
                LabPlot.Bars(
                    "parameters_model", "memory of the whole model's training", "MiB",
                    ["gradients and moments", "peak in use"],
                    [
                        LabCurve.OfSteps("full", [Mib(models[0].Bytes), Mib(models[0].Peak)]),
                        LabCurve.OfSteps($"LoRA, r {Rank}", [Mib(models[1].Bytes), Mib(models[1].Peak)]),
                    ]),
            ],
            [
                $"A layer of width {widths[^1]} has {Figures.Count(full[^1].Gradients)} gradient elements in full training "
                    + $"and {Figures.Count(lora[^1].Gradients)} with r {Rank}, "
                    + $"{Figures.Short((double)full[^1].Gradients / lora[^1].Gradients)} times fewer; the frozen weight "
                    + (lora.All(l => !l.BaseHasGradient) ? "has no gradient at all." : "has one too."),
                $"The share falls with the width as 2 r / d: it is {Figures.Percent(Share(0))} at {widths[0]} and "
                    + $"{Figures.Percent(Share(widths.Length - 1))} at {widths[^1]}.",
                $"On the whole model gradients and moments take {Figures.Bytes(models[0].Bytes)} in full training and "
                    + $"{Figures.Bytes(models[1].Bytes)} with LoRA; the peak of a step is {Figures.Bytes(models[0].Peak)} "
                    + $"against {Figures.Bytes(models[1].Peak)}, since weights and activations stay.",
            ]);

        double Share(int i) => (double)lora[i].Gradients / full[i].Gradients;
    }

    private static double Mib(long bytes) => bytes / (1024.0 * 1024);

    private static string[] Row(string name, Layer layer) =>
        [name, Figures.Count(layer.Gradients), Figures.Bytes(layer.Bytes), Figures.Bytes(layer.Peak)];

    private static Layer OfLayer(int width, bool lora)
    {
        var random = new Generator(1);
        using var linear = new Linear(width, width, random, bias: false);
        using var adapter = lora
            ? LoraLinear.From(linear, new LoraConfig { R = Rank, LoraAlpha = Rank }, random)
            : null;
        Parameter[] trained = [.. adapter?.Parameters() ?? [linear.Weight]];
        using var optimizer = new AdamW(trained, 1e-3);
        Device.Cpu.ResetPeakMemory();
        using (TensorScope.Begin())
        {
            var x = Tensor.From(LabMatrix.Random(Tokens, width, 1).Values, Shape.Of(Tokens, width));
            var dy = Tensor.From(LabMatrix.Random(Tokens, width, 2).Values, Shape.Of(Tokens, width));
            linear.Forward(x).Backward(dy);
            optimizer.Step();
        }
        return new Layer(
            Gradients(trained), Bytes(trained, optimizer), Device.Cpu.Memory.Peak,
            lora && linear.Weight.Value.Grad is not null);
    }

    private static Layer OfModel(LabOptions options, bool lora)
    {
        options.Note($"parameters: one step of {(lora ? "LoRA" : "full training")}");
        using var training = LabTraining.Load(options, options.Seed);
        using var adapter = lora
            ? training.Lora(new LoraConfig { R = Rank, LoraAlpha = Rank, TargetModules = ModuleSelector.AllLinear })
            : null;
        IFineTuning method = adapter is null ? new FullFineTuning(training.Model) : new LoraFineTuning(adapter);
        Device.Cpu.ResetPeakMemory();
        training.Run(method, 1, 1e-4);
        Parameter[] trained = [.. adapter?.TrainableParameters() ?? training.Model.Parameters()];
        // The trainer's optimiser is gone by now; AdamW keeps two moments per trained number.
        var gradients = Gradients(trained);
        return new Layer(
            gradients, 3 * sizeof(float) * gradients, Device.Cpu.Memory.Peak,
            lora && training.Model.Linears().Any(l => l.Weight.Value.Grad is not null));
    }

    private static long Gradients(IEnumerable<Parameter> parameters) => parameters.Sum(p => p.Value.Grad?.Count ?? 0);

    // What is there, gradients and the optimiser's own.
    private static long Bytes(IEnumerable<Parameter> parameters, AdamW optimizer) =>
        (Gradients(parameters) * sizeof(float)) + optimizer.State().Sum(state => state.Value.Count * sizeof(float));

    /// <summary>What training keeps.</summary>
    private sealed record Layer(long Gradients, long Bytes, long Peak, bool BaseHasGradient)
    {
        public JsonObject ToJson() => new()
        {
            ["gradients"] = Gradients,
            ["gradient_and_moment_bytes"] = Bytes,
            ["peak_bytes"] = Peak,
            ["frozen_base_has_gradient"] = BaseHasGradient,
        };
    }
}
