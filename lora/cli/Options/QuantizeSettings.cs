using CudaLora.Engine;

namespace CudaLora.Cli;

/// <summary>Settings of 4-bit weights, with bitsandbytes' words.</summary>
internal static class QuantizeSettings
{
    private const string Blocks = "a power of two from 32 to 4096";

    public static readonly Setting<string> OnLoad = Make.Choice(
        "quantize", "Make the linear layers 4-bit while loading, one by one", "none", ["none", "nf4"],
        aka: ["quantization"]);

    public static readonly Setting<bool> DoubleQuant = Make.Switch(
        "double_quant", "Make the scales of the blocks 8-bit codes too: 4.127 instead of 4.5 bits per weight",
        aka: ["bnb_4bit_use_double_quant"]);

    public static readonly Setting<int> OnLoadBlockSize = BlockSetting("quant_block_size", []);

    public static readonly Setting<string> Type = Make.Choice(
        "quant_type", "The 4-bit type", "nf4", ["nf4"], aka: ["bnb_4bit_quant_type"]);

    public static readonly Setting<int> BlockSize = BlockSetting("block_size", ["quant_block_size"]);

    public static readonly SettingGroup LoadGroup = new("4-bit weights", OnLoad, DoubleQuant, OnLoadBlockSize);

    /// <summary>What the settings of <see cref="LoadGroup"/> ask for, or null for weights as they are stored.</summary>
    /// <exception cref="UsageException">A setting that does nothing without <c>--quantize</c>.</exception>
    public static QuantizationOptions? OfLoad(SettingValues values)
    {
        if (values.Get(OnLoad) != "none")
            return Options(values, OnLoadBlockSize);
        foreach (var setting in new Setting[] { DoubleQuant, OnLoadBlockSize })
        {
            if (values.IsGiven(setting))
                throw new UsageException($"{setting.Flag} needs {OnLoad.Flag} nf4, but that is not given");
        }
        return null;
    }

    /// <summary>Whether a model folder is 4-bit already.</summary>
    public static bool IsQuantized(string folder) =>
        JsonFields.Read(Path.Combine(folder, "config.json")).Has("quantization_config");

    /// <summary>What the quantize command's settings ask for.</summary>
    public static QuantizationOptions Options(SettingValues values) => Options(values, BlockSize);

    private static QuantizationOptions Options(SettingValues values, Setting<int> blockSize) => new()
    {
        BlockSize = values.Get(blockSize),
        DoubleQuant = values.Get(DoubleQuant),
    };

    private static Setting<int> BlockSetting(string key, string[] aka) =>
        new(key, 64, "Weights that share a scale", "128", Blocks)
        {
            OtherKeys = aka,
            Read = (IReadOnlyList<string> texts, out int value) =>
                Make.IsInt(texts, out value) && QuantizationOptions.IsBlockSize(value),
            Write = value => [value.ToString(System.Globalization.CultureInfo.InvariantCulture)],
        };
}
