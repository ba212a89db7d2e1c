using CudaLora.Engine;

namespace CudaLora.Lora;

/// <summary>Groups parameters as Hugging Face's trainer does: biases and norm weights are not decayed.</summary>
internal static class WeightDecay
{
    public static IReadOnlyList<ParameterGroup> Split(IEnumerable<Parameter> parameters, TrainingArguments arguments)
    {
        var byRank = parameters.ToLookup(p => p.Value.Shape.Rank > 1);
        var groups = new List<ParameterGroup>();
        if (byRank[true].Any())
            groups.Add(new ParameterGroup(byRank[true], arguments.LearningRate, arguments.WeightDecay));
        if (byRank[false].Any())
            groups.Add(new ParameterGroup(byRank[false], arguments.LearningRate));
        return groups;
    }
}
