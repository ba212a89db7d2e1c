using CudaLora.Lora;

namespace CudaLora.Cli;

/// <summary>How methods begin whose adapter trains with one learning rate.</summary>
internal static class AdapterMethod
{
    /// <summary>A new adapter, or the one to go on with.</summary>
    public static IFineTuning Begin(MethodContext context, string name, Func<ModelAdapter> create)
    {
        var adapter = context.Loaded.Adapter = context.Values.Get(MethodSettings.StartAdapter) is { } start
            ? AdapterFolder.Load(context.Loaded.Model, start, random: context.Random)
            : create();
        adapter.SetTrainable(true);
        return new AdapterFineTuning(adapter, name);
    }
}
