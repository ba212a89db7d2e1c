using CudaLora.Lora;

namespace CudaLora.Cli;

/// <summary>VeRA.</summary>
internal sealed class VeraMethod() : FineTuningMethod(
    "vera", "two small vectors per layer on shared random projections", 2e-2)
{
    private const int UsualRank = 256;

    public override IReadOnlyList<Setting> Settings =>
    [
        AdapterSettings.Rank, AdapterSettings.Dropout, AdapterSettings.Targets, AdapterSettings.ModulesToSave,
        MethodSettings.DInitial,
    ];

    public override void Check(SettingValues values, ModelConfig model) =>
        RequireLinear(values, model, $"--method {Name}");

    public override IFineTuning Begin(MethodContext context) => AdapterMethod.Begin(
        context, Name, () => VeraAdapter.Create(context.Loaded.Model, Config(context), context.Random));

    private static VeraConfig Config(MethodContext context) => new()
    {
        R = context.Values.IsGiven(AdapterSettings.Rank) ? context.Values.Get(AdapterSettings.Rank) : UsualRank,
        Dropout = context.Values.Get(AdapterSettings.Dropout),
        DInitial = context.Values.Get(MethodSettings.DInitial),
        Targets = new AdapterTargets
        {
            Modules = AdapterSettings.Selector(context.Values.Get(AdapterSettings.Targets)),
            ModulesToSave = context.Values.Get(AdapterSettings.ModulesToSave),
            BaseModel = context.Loaded.Folder,
        },
    };
}
