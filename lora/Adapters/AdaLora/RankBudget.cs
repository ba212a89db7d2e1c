namespace CudaLora.Lora;

/// <summary>How many ranks AdaLoRA leaves in a step: all, then fewer along a cubic curve, then the target.</summary>
/// <param name="First">Ranks of all layers together at first.</param>
/// <param name="Target">Ranks of all layers together at the end.</param>
/// <param name="TInit">Steps with all of them.</param>
/// <param name="TFinal">Steps at the end with the target.</param>
/// <param name="TotalSteps">Steps of the run.</param>
/// <param name="Every">Steps between two allocations.</param>
internal readonly record struct RankBudget(int First, int Target, int TInit, int TFinal, int TotalSteps, int Every)
{
    /// <summary>Ranks left after a step, and whether they are given out anew in it.</summary>
    public (int Ranks, bool Allocates) At(int step)
    {
        if (step <= TInit)
            return (First, false);
        if (step > TotalSteps - TFinal)
            return (Target, true);
        var left = 1 - ((double)(step - TInit) / (TotalSteps - TFinal - TInit));
        return ((int)(((First - Target) * left * left * left) + Target), step % Every == 0);
    }
}
