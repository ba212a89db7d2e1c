using CudaLora.Engine;

namespace CudaLora.Bench.Ops;

/// <summary>Log-probability of one label per row of 1024.</summary>
[Traffic(Forward = 1, Backward = 2)]
public class GatherLogProbsBench : OpBench
{
    /// <inheritdoc/>
    protected override Tensor Apply() => X.GatherLogProbs(Ids);
}
