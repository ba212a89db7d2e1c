using System.Diagnostics;
using System.Text.Json.Nodes;
using CudaLora.Engine;
using CudaLora.Lora;

namespace CudaLora.Bench.Gpu;

/// <summary>
/// Training steps of randomly initialised Llamas with a LoRA adapter of rank 16 on every linear layer: tokens per
/// second, captured and eager. The sizes are those of Peers/gpu/train_step.py.
/// </summary>
internal static class StepTimes
{
    internal sealed record Size(string Name, int Hidden, int Mlp, int Layers, int Heads, int Groups, int Vocabulary);

    internal static readonly Size Tiny = new("tiny", 64, 176, 2, 4, 2, 512);

    internal static readonly Size[] Sizes =
    [
        new("0.5B", 1024, 2816, 24, 16, 16, 32000),
        new("1B", 2048, 5632, 22, 32, 4, 32000),
        new("8B", 4096, 14336, 32, 32, 8, 128256),
    ];

    public static void Run(CudaDevice device, GpuReport report, GpuSizes sizes)
    {
        var quick = sizes == GpuSizes.Tiny;
        var (batch, length, steps) = quick ? (2, 32, 1) : (4, 2048, 10);
        foreach (var size in quick ? [Tiny] : Sizes)
        {
            foreach (var graphs in (bool[])[true, false])
                One(device, report, size, batch, length, steps, graphs);
            device.TrimPool();
        }
    }

    private static void One(
        CudaDevice device, GpuReport report, Size size, int batch, int length, int steps, bool graphs)
    {
        using var model = CausalLM.Create(Config(size, length), 1, ModelPlacement.On(device));
        var random = new Generator(1);
        using var adapter = LoraAdapter.Create(
            model, new LoraConfig { R = 16, LoraAlpha = 32, TargetModules = ModuleSelector.AllLinear }, random);
        model.Training = true;
        var arguments = new TrainingArguments { OutputDir = "unused", LearningRate = 1e-4, CudaGraphs = graphs };
        using var runner = new StepRunner(arguments, new LoraFineTuning(adapter), new Sft());
        var data = new Batcher(Texts(size, batch, length), new BatcherOptions { BatchSize = batch });
        // Eager, captured, replayed once.
        for (var i = 0; i < 3; i++)
            runner.Run(data, 1, 1);
        device.ResetPeakMemory();
        var times = new double[steps];
        for (var i = 0; i < steps; i++)
        {
            var start = Stopwatch.GetTimestamp();
            runner.Run(data, 1, 1);
            times[i] = Stopwatch.GetElapsedTime(start).TotalSeconds;
        }
        Array.Sort(times);
        var median = times[steps / 2];
        report.Add("Training step", new JsonObject
        {
            ["model"] = size.Name,
            ["tokens"] = $"{batch} x {length}",
            ["mode"] = graphs ? "graph" : "eager",
            ["step_ms"] = 1e3 * median,
            ["tokens_per_second"] = batch * length / median,
            ["peak_mib"] = device.Memory.Peak / 1048576.0,
        });
    }

    private static List<SftExample> Texts(Size size, int batch, int length)
    {
        var random = new Random(1);
        return
        [
            .. Enumerable.Range(0, 4 * batch).Select(_ =>
            {
                var ids = Enumerable.Range(0, length).Select(_ => random.Next(3, size.Vocabulary)).ToArray();
                return new SftExample(ids, ids);
            }),
        ];
    }

    internal static ModelConfig Config(Size size, int length) => new()
    {
        Family = ModelFamily.Llama,
        VocabSize = size.Vocabulary,
        HiddenSize = size.Hidden,
        IntermediateSize = size.Mlp,
        Layers = size.Layers,
        Heads = size.Heads,
        KeyValueHeads = size.Groups,
        HeadDim = size.Hidden / size.Heads,
        MaxPositions = Math.Max(2048, length),
        Activation = Activation.Silu,
    };
}
