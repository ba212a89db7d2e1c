using System.Text.Json.Nodes;
using CudaLora.Engine;

namespace CudaLora.Lora;

/// <summary>
/// <c>quantization_config</c> of config.json, as transformers writes it for bitsandbytes. Which layers are 4-bit, and
/// their block size, is not decided here but by the tensors themselves.
/// </summary>
internal static class QuantizationConfig
{
    internal const string Field = "quantization_config";

    /// <summary>Refuses every method but bitsandbytes in 4 bits.</summary>
    internal static void Check(JsonFields json)
    {
        if (json.Object(Field) is not { } fields)
            return;
        if (fields.String("quant_method") is not (null or "bitsandbytes"))
            throw fields.Refuse("quant_method", "bitsandbytes (4-bit) or absent");
        if (fields.Bool("load_in_8bit", false) || fields.Bool("_load_in_8bit", false))
            throw fields.Refuse("load_in_8bit", "false (4-bit is supported)");
        if (fields.String("bnb_4bit_quant_type") is { } type && QuantizationOptions.ParseType(type) is null)
            throw fields.Refuse("bnb_4bit_quant_type", "nf4 or fp4");
    }

    /// <summary>The object that makes transformers load the folder.</summary>
    internal static JsonObject ToJson(QuantizationOptions options)
    {
        var compute = options.ValueType switch
        {
            SafetensorsDType.BF16 => "bfloat16",
            SafetensorsDType.F16 => "float16",
            _ => "float32",
        };
        return new JsonObject
        {
            ["_load_in_4bit"] = true,
            ["_load_in_8bit"] = false,
            ["bnb_4bit_compute_dtype"] = compute,
            ["bnb_4bit_quant_storage"] = "uint8",
            ["bnb_4bit_quant_type"] = QuantizationOptions.NameOf(options.Type),
            ["bnb_4bit_use_double_quant"] = options.DoubleQuant,
            ["llm_int8_enable_fp32_cpu_offload"] = false,
            ["llm_int8_has_fp16_weight"] = false,
            ["llm_int8_skip_modules"] = null,
            ["llm_int8_threshold"] = 6.0,
            ["load_in_4bit"] = true,
            ["load_in_8bit"] = false,
            ["quant_method"] = "bitsandbytes",
        };
    }
}
