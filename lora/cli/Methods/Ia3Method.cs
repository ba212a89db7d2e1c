using CudaLora.Lora;

namespace CudaLora.Cli;

/// <summary>(IA)³.</summary>
internal sealed class Ia3Method() : FineTuningMethod("ia3", "factors on keys, values and the MLP", 2e-2)
{
    public override IReadOnlyList<Setting> Settings =>
        [AdapterSettings.Targets, AdapterSettings.ModulesToSave, MethodSettings.Feedforward];

    public override void Check(SettingValues values, ModelConfig model)
    {
        RequireLinear(values, model, $"--method {Name}");
        if (!values.IsGiven(MethodSettings.Feedforward))
            return;
        var targets = values.IsGiven(AdapterSettings.Targets)
            ? AdapterSettings.Selector(values.Get(AdapterSettings.Targets))
            : Ia3Config.UsualTargets(model.Family);
        var scaled = AdapterSettings.Selector(values.Get(MethodSettings.Feedforward));
        // Names alone: where a pattern is, the layers decide.
        if (targets.Names is { } names && scaled.Names is { } inputs && !inputs.Any(names.Contains))
            throw new UsageException(
                $"{MethodSettings.Feedforward.Flag} {scaled} must be among {AdapterSettings.Targets.Flag}, but those "
                + $"are {targets}");
    }

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
