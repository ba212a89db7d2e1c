namespace CudaLora.Engine;

/// <summary>Parameters that share a learning rate and a weight decay.</summary>
public sealed class ParameterGroup
{
    /// <summary>A group of trainable parameters; frozen ones may be among them and are passed over.</summary>
    /// <exception cref="ArgumentException">A negative or non-finite learning rate or weight decay.</exception>
    public ParameterGroup(IEnumerable<Parameter> parameters, double learningRate, double weightDecay = 0)
    {
        if (!(learningRate >= 0 && double.IsFinite(learningRate)))
            throw new ArgumentException($"[optim] learning rate must not be negative, but got {learningRate}");
        if (!(weightDecay >= 0 && double.IsFinite(weightDecay)))
            throw new ArgumentException($"[optim] weight decay must not be negative, but got {weightDecay}");
        Parameters = [.. parameters];
        LearningRate = learningRate;
        WeightDecay = weightDecay;
    }

    /// <summary>The parameters, in the order given.</summary>
    public IReadOnlyList<Parameter> Parameters { get; }

    /// <summary>Peak learning rate; a schedule multiplies it.</summary>
    public double LearningRate { get; set; }

    /// <summary>Decoupled weight decay: each step multiplies the values by 1 - rate * decay.</summary>
    public double WeightDecay { get; set; }
}
