using CudaLora.Engine;
using CudaLora.Lora;

namespace CudaLora.Cli;

/// <summary>What a training step would need on the CPU device, for each method the model allows.</summary>
internal static class MemoryTable
{
    public static void Print(Terminal terminal, ModelConfig config, WeightSizes sizes, StepSize step)
    {
        terminal.Line();
        terminal.Line($"memory of a training step on the CPU, predicted: batch {step.Batch}, length {step.Length}"
            + (step.Checkpointing ? ", gradient checkpointing" : ""));
        terminal.Line($"{"",-24}{"weights",11}{"trained",11}{"activations",13}{"passing",11}{"total",11}");
        if (sizes.Codes.Count == 0)
        {
            Row("every weight", sizes.InMemory(), step with { Rank = 0 });
            Row($"adapter r {step.Rank}", sizes.InMemory(), step);
            Row($"adapter r {step.Rank}, 4-bit", sizes.InMemory(new QuantizationOptions { DoubleQuant = true }), step);
        }
        else
        {
            Row($"adapter r {step.Rank}, 4-bit", sizes.InMemory(), step);
        }

        void Row(string name, IEnumerable<long> weights, StepSize size)
        {
            var e = MemoryEstimate.Of(config, weights, size);
            terminal.Line($"{name,-24}{Figures.Bytes(e.Weights),11}{Figures.Bytes(e.Trained),11}"
                + $"{Figures.Bytes(e.Activations),13}{Figures.Bytes(e.Passing),11}{Figures.Bytes(e.Total),11}");
        }
    }
}
