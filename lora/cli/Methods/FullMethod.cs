using CudaLora.Lora;

namespace CudaLora.Cli;

/// <summary>Every weight of the model.</summary>
internal sealed class FullMethod() : FineTuningMethod("full", "every weight", 5e-5)
{
    public override double BundledRate => 1e-3;

    public override IReadOnlyList<Setting> Settings => [];

    public override bool TakesQuantized => false;

    public override bool GoesOn => false;

    public override bool TrainsBase => true;

    public override IFineTuning Begin(MethodContext context) => new FullFineTuning(context.Loaded.Model);
}
