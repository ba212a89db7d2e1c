using CudaLora.Lora;

namespace CudaLora.Cli;

/// <summary>Parts of the model itself: BitFit, the last layers.</summary>
internal sealed class PartialMethod(string name, string summary, double rate) : FineTuningMethod(name, summary, rate)
{
    public override IReadOnlyList<Setting> Settings => Name == "bitfit" ? [] : [MethodSettings.LastLayers];

    public override bool TakesQuantized => false;

    public override bool GoesOn => false;

    public override bool TrainsBase => true;

    public override void Check(SettingValues values, ModelConfig model)
    {
        if (Name == "last-layers" && values.Get(MethodSettings.LastLayers) > model.Layers)
            throw new UsageException(
                $"{MethodSettings.LastLayers.Flag} must be at most {model.Layers}, the layers of the model "
                + $"(num_hidden_layers), but is {values.Get(MethodSettings.LastLayers)}");
    }

    public override IFineTuning Begin(MethodContext context) => Name == "bitfit"
        ? PartialFineTuning.BitFit(context.Loaded.Model)
        : PartialFineTuning.LastLayers(context.Loaded.Model, context.Values.Get(MethodSettings.LastLayers));
}
