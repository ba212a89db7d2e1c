using CudaLora.Lora;

namespace CudaLora.Cli;

/// <summary>(IA)³.</summary>
internal sealed class Ia3Method() : FineTuningMethod("ia3", "factors on keys, values and the MLP", 2e-2)
{
    public override IReadOnlyList<Setting> Settings =>
        [AdapterSettings.Targets, AdapterSettings.ModulesToSave, MethodSettings.Feedforward];

    public override IFineTuning Begin(MethodContext context)
    {
        var values = context.Values;
        var config = new Ia3Config
        {
            Targets = new AdapterTargets
            {
                Modules = values.IsGiven(AdapterSettings.Targets)
                    ? AdapterSettings.Selector(values.Get(AdapterSettings.Targets))
                    : null,
                ModulesToSave = values.Get(AdapterSettings.ModulesToSave),
                BaseModel = context.Loaded.Folder,
            },
            Feedforward = values.IsGiven(MethodSettings.Feedforward)
                ? AdapterSettings.Selector(values.Get(MethodSettings.Feedforward))
                : null,
        };
        return AdapterMethod.Begin(
            context, Name, () => Ia3Adapter.Create(context.Loaded.Model, config, context.Random));
    }
}
