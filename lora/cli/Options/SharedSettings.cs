using CudaLora.Engine;
using CudaLora.Kernels.Simd;

namespace CudaLora.Cli;

/// <summary>Settings that several commands take.</summary>
internal static class SharedSettings
{
    public static readonly Setting<string?> Config =
        Make.Text("config", "YAML file with the same names in snake_case; flags on the command line win", "run.yaml");

    public static readonly Setting<string?> Model = Make.Text(
        "model", "Model folder in Hugging Face layout", "models/TinyStories-656K", aka: ["model_name_or_path"]);

    /// <summary>The same where an adapter may say what it is for.</summary>
    public static readonly Setting<string?> BaseModel = Make.Text(
        "model", "Model folder in Hugging Face layout", "models/TinyStories-656K", aka: ["model_name_or_path"],
        shown: "the adapter's base, else the bundled model");

    public static readonly Setting<string> Device = Make.Choice(
        "device", "Where to compute", "auto", [.. DeviceChoice.Names]);

    public static readonly Setting<string> ComputeType = Make.Choice(
        "dtype", "Type of activations and frozen weights; what trains is float32", "auto",
        ["auto", "float32", "bfloat16"], aka: ["torch_dtype"], shown: "bfloat16 on CUDA, float32 on the CPU");

    public static readonly Setting<string> LoraStrategy = Make.Choice(
        "lora_strategy",
        "How the large products of LoRA layers run on a CUDA device: composed of two each; as one block matrix in the "
            + "device's library; fused in the project's own kernels, or those by mma.sync alone",
        "auto", [.. DeviceChoice.Strategies.Keys],
        shown: "the fastest for each shape, timed once; composed on the emulator");

    public static readonly Setting<int?> Threads = Make.MaybeInt(
        "threads", "Threads of the CPU device", "2", 1, "all processors, or CUDALORA_THREADS", most: 1024);

    public static readonly Setting<bool> NoProgress =
        Make.Switch("no_progress", "Plain lines instead of the live view, as when output is not a terminal");

    public static readonly Setting<bool> Debug = Make.Switch("debug", "Print the full trace of an unexpected error");

    /// <summary>Sets the threads and opens the device.</summary>
    public static DeviceChoice Apply(SettingValues values)
    {
        if (values.Get(Threads) is int threads) Workers.Count = threads;
        var choice = DeviceChoice.Of(values.Get(Device), values.Get(ComputeType));
        if (choice.Device is CudaDevice cuda) cuda.LoraStrategy = DeviceChoice.Strategies[values.Get(LoraStrategy)];
        return choice;
    }
}
