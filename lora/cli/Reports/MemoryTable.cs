using CudaLora.Engine;
using CudaLora.Lora;

namespace CudaLora.Cli;

/// <summary>
/// What a training step would need on the CPU device and on a CUDA device, for each method the model allows.
/// </summary>
internal static class MemoryTable
{
    public static void Print(Terminal terminal, ModelConfig config, WeightSizes sizes, StepSize step)
    {
        terminal.Line();
        terminal.Line($"memory of a training step, predicted: batch {step.Batch}, length {step.Length}"
            + (step.Checkpointing ? ", gradient checkpointing" : ""));
        Rows(terminal, "CPU, float32", config, sizes, step with { PagedStates = false }, DType.F32);
        Rows(terminal, "CUDA, bfloat16", config, sizes, step with { Activations = DType.BF16 }, DType.BF16);
    }

    private static void Rows(
        Terminal terminal, string device, ModelConfig config, WeightSizes sizes, StepSize step, DType frozen)
    {
        terminal.Line($"{device,-24}{"weights",11}{"trained",11}{"activations",13}{"passing",11}{"total",11}");
        if (sizes.Codes.Count == 0)
        {
            // What trains is float32.
            Row("  every weight", sizes.InMemory(DType.F32), step with { Rank = 0 });
            Row($"  adapter r {step.Rank}", sizes.InMemory(frozen), step);
            Row(
                $"  adapter r {step.Rank}, 4-bit",
                sizes.InMemory(frozen, new QuantizationOptions { DoubleQuant = true }), step);
        }
        else
        {
            Row($"  adapter r {step.Rank}, 4-bit", sizes.InMemory(frozen), step);
        }

        void Row(string name, IEnumerable<long> weights, StepSize size)
        {
            var e = MemoryEstimate.Of(config, weights, size);
            terminal.Line($"{name,-24}{Figures.Bytes(e.Weights),11}{Figures.Bytes(e.Trained),11}"
                + $"{Figures.Bytes(e.Activations),13}{Figures.Bytes(e.Passing),11}{Figures.Bytes(e.Total),11}");
        }
    }
}
