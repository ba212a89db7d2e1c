namespace CudaLora.Engine;

/// <summary>The operations on tensors, as extension methods: a file of <c>engine/Ops</c> each.</summary>
public static partial class TensorOps
{
    /// <summary>
    /// Runs <paramref name="body"/> without keeping its activations; backward runs it again from <paramref name="x"/>.
    /// Costs a second forward, saves everything between the block's input and output (Chen et al. 2016).
    /// </summary>
    /// <param name="x">Input of the block, F32.</param>
    /// <param name="body">The block; may use parameters of its own.</param>
    /// <param name="random">Generator the block draws from, rewound so that both runs draw the same numbers.</param>
    public static Tensor Checkpoint(Tensor x, Func<Tensor, Tensor> body, Generator? random = null) =>
        GradMode.Enabled ? CheckpointOp.Apply(x, body, random) : body(x);
}

internal sealed class CheckpointOp : Op
{
    private readonly Tensor x;
    private readonly Func<Tensor, Tensor> body;
    private readonly Generator? random;
    private readonly ulong drawn;

    private CheckpointOp(Tensor x, Func<Tensor, Tensor> body, Generator? random)
        : base("checkpoint", x)
    {
        this.x = x;
        this.body = body;
        this.random = random;
        drawn = random?.Offset ?? 0;
        // The block's own parameters may train even when x does not.
        Tracking = true;
        Save(x);
    }

    public static Tensor Apply(Tensor x, Func<Tensor, Tensor> body, Generator? random)
    {
        var op = new CheckpointOp(x, body, random);
        using var scope = TensorScope.Begin();
        Tensor y;
        using (GradMode.NoGrad())
            y = body(x);
        scope.Keep(y);
        return op.Run(y);
    }

    protected override void ForwardCpu(Tensor y)
    {
    }

    protected override void ForwardCuda(Tensor y)
    {
    }

    protected override void BackwardCpu(Tensor y, Tensor dy) => RunAgain(dy);

    protected override void BackwardCuda(Tensor y, Tensor dy) => RunAgain(dy);

    private void RunAgain(Tensor dy)
    {
        using var scope = TensorScope.Begin();
        using var mode = GradMode.EnableGrad();
        var later = random?.Offset ?? 0;
        random?.Rewind(drawn);
        var input = x.Detach();
        input.RequiresGrad = NeedsGrad(x);
        var again = body(input);
        random?.Rewind(later);
        if (again.Producer is null)
            return;
        again.Backward(dy);
        if (input.Grad is { } g)
            PassGrad(x, g);
    }
}
