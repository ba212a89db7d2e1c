using CudaLora.Lora;

namespace CudaLora.Cli;

/// <summary>AdaLoRA.</summary>
internal sealed class AdaLoraMethod() : FineTuningMethod(
    "adalora", "adapters whose ranks go where they matter", 5e-3)
{
    // To check what does not depend on the length of the run.
    private const int AnyLength = 1000;

    public override IReadOnlyList<Setting> Settings =>
    [
        AdapterSettings.Alpha, AdapterSettings.Dropout, AdapterSettings.Targets, AdapterSettings.Bias,
        AdapterSettings.ModulesToSave, MethodSettings.InitR, MethodSettings.TargetR, MethodSettings.TInit,
        MethodSettings.TFinal, MethodSettings.DeltaT, MethodSettings.Beta1, MethodSettings.Beta2,
        MethodSettings.OrthRegWeight,
    ];

    public override bool GoesOn => false;

    public override void Check(SettingValues values, ModelConfig model)
    {
        var (tinit, tfinal) = (values.Get(MethodSettings.TInit) ?? 0, values.Get(MethodSettings.TFinal) ?? 0);
        Config(values, "", values.Get(TrainSettings.MaxSteps) ?? AnyLength + tinit + tfinal).Validate();
        RequireLinear(values, model, $"--method {Name}");
    }

    public override IFineTuning Begin(MethodContext context)
    {
        var adapter = AdaLoraAdapter.Create(
            context.Loaded.Model, Config(context.Values, context.Loaded.Folder, context.TotalSteps), context.Random);
        context.Loaded.Adapter = adapter;
        return new AdaLoraFineTuning(adapter);
    }

    private static AdaLoraConfig Config(SettingValues values, string baseModel, int totalSteps)
    {
        var rank = values.Get(MethodSettings.InitR);
        return new AdaLoraConfig
        {
            // Not PEFT's alpha of 8, with which the three factors hardly train.
            Lora = AdapterSettings.Config(values, baseModel) with
            {
                R = rank,
                LoraAlpha = values.Get(AdapterSettings.Alpha) ?? 2 * rank,
            },
            InitR = rank,
            TargetR = values.Get(MethodSettings.TargetR),
            TInit = values.Get(MethodSettings.TInit) ?? totalSteps / 10,
            TFinal = values.Get(MethodSettings.TFinal) ?? totalSteps * 3 / 10,
            DeltaT = values.Get(MethodSettings.DeltaT),
            Beta1 = values.Get(MethodSettings.Beta1),
            Beta2 = values.Get(MethodSettings.Beta2),
            OrthRegWeight = values.Get(MethodSettings.OrthRegWeight),
            TotalStep = totalSteps,
        };
    }
}
