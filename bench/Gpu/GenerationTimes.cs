using System.Diagnostics;
using System.Text.Json.Nodes;
using CudaLora.Engine;
using CudaLora.Lora;

namespace CudaLora.Bench.Gpu;

/// <summary>
/// Greedy generation after 128 tokens by randomly initialised Llamas with a LoRA adapter of rank 16 on every linear
/// layer, the prompt's pass included.
/// </summary>
internal static class GenerationTimes
{
    public static void Run(CudaDevice device, GpuReport report, GpuSizes sizes)
    {
        var isTiny = sizes == GpuSizes.Tiny;
        var (prompt, fresh, runs) = isTiny ? (8, 4, 1) : (128, 256, 5);
        foreach (var size in isTiny ? [StepTimes.Tiny] : StepTimes.Sizes)
        {
            using (var model = CausalLM.Create(StepTimes.Config(size, prompt + fresh), 1, ModelPlacement.On(device)))
            using (LoraAdapter.Create(
                model, new LoraConfig { R = 16, LoraAlpha = 32, TargetModules = ModuleSelector.AllLinear },
                new Generator(1)))
            {
                foreach (var rows in isTiny ? [1] : (int[])[1, 8, 32])
                    One(device, report, size, model, rows, prompt, fresh, runs);
            }
            device.TrimPool();
        }
    }

    private static void One(
        CudaDevice device, GpuReport report, StepTimes.Size size, CausalLM model, int rows, int prompt, int fresh,
        int runs)
    {
        var random = new Random(1);
        var prompts = Enumerable.Range(0, rows)
            .Select(_ => Enumerable.Range(0, prompt).Select(_ => random.Next(3, size.Vocabulary)).ToArray()).ToArray();
        var options = new SamplingOptions { MaxNewTokens = fresh, Temperature = 0, StopIds = [] };
        model.Generate(prompts, options);
        // Of these rows, not of a part before them.
        device.ResetPeakMemory();
        var times = new double[runs];
        for (var i = 0; i < runs; i++)
        {
            var start = Stopwatch.GetTimestamp();
            model.Generate(prompts, options);
            times[i] = Stopwatch.GetElapsedTime(start).TotalSeconds;
        }
        Array.Sort(times);
        var median = times[runs / 2];
        report.Add("Generation", new JsonObject
        {
            ["model"] = size.Name,
            ["rows"] = $"{rows}",
            ["tokens"] = $"{prompt} + {fresh}",
            ["ms"] = 1e3 * median,
            ["tokens_per_second"] = rows * fresh / median,
            ["peak_mib"] = device.Memory.Peak / 1048576.0,
        });
    }
}
