using System.Text.Json.Nodes;
using CudaLora.Engine;

namespace CudaLora.Lora;

/// <summary>
/// generation_config.json: ids that stop and defaults for sampling. Fields that are not read are kept.
/// </summary>
public sealed record GenerationConfig
{
    /// <summary>Id that begins a text, if any.</summary>
    public int? BosTokenId { get; init; }

    /// <summary>Ids that end a text.</summary>
    public IReadOnlyList<int> EosTokenIds { get; init; } = [];

    /// <summary>Id that fills short rows, if any.</summary>
    public int? PadTokenId { get; init; }

    /// <summary>False means greedy.</summary>
    public bool DoSample { get; init; }

    /// <summary>Divides the logits, if given.</summary>
    public double? Temperature { get; init; }

    /// <summary>Number of likeliest ids to choose from, if given.</summary>
    public int? TopK { get; init; }

    /// <summary>Mass of the likeliest ids to choose from, if given.</summary>
    public double? TopP { get; init; }

    /// <summary>Longest continuation, if given.</summary>
    public int? MaxNewTokens { get; init; }

    internal JsonObject? Source { get; init; }

    /// <summary>
    /// Reads generation_config.json of a model folder; without the file, the ids of the model config.
    /// </summary>
    /// <exception cref="UserErrorException">The file is malformed.</exception>
    public static GenerationConfig Read(string folder, ModelConfig model)
    {
        string path = Path.Combine(folder, "generation_config.json");
        if (!File.Exists(path)) return From(model);
        JsonFields json = JsonFields.Read(path);
        return new GenerationConfig
        {
            Source = json.Root,
            BosTokenId = json.Int("bos_token_id") ?? model.BosTokenId,
            EosTokenIds = json.Ints("eos_token_id") ?? model.EosTokenIds,
            PadTokenId = json.Int("pad_token_id") ?? model.PadTokenId,
            DoSample = json.Bool("do_sample", false),
            Temperature = json.Double("temperature"),
            TopK = json.Int("top_k"),
            TopP = json.Double("top_p"),
            MaxNewTokens = json.Int("max_new_tokens"),
        };
    }

    /// <summary>The ids of a model config and no sampling defaults.</summary>
    public static GenerationConfig From(ModelConfig model) => new()
    {
        BosTokenId = model.BosTokenId,
        EosTokenIds = model.EosTokenIds,
        PadTokenId = model.PadTokenId,
    };

    /// <summary>Writes generation_config.json into a folder, atomically.</summary>
    public void Write(string folder)
    {
        JsonObject json = Source?.DeepClone().AsObject() ?? [];
        Set(json, "bos_token_id", BosTokenId);
        Set(json, "eos_token_id", EosTokenIds.Count switch
        {
            0 => null,
            1 => EosTokenIds[0],
            _ => new JsonArray([.. EosTokenIds.Select(id => JsonValue.Create(id))]),
        });
        Set(json, "pad_token_id", PadTokenId);
        if (DoSample || json.ContainsKey("do_sample")) json["do_sample"] = DoSample;
        Set(json, "temperature", Temperature);
        Set(json, "top_k", TopK);
        Set(json, "top_p", TopP);
        Set(json, "max_new_tokens", MaxNewTokens);
        ConfigJson.Write(Path.Combine(folder, "generation_config.json"), json);
    }

    private static void Set(JsonObject json, string name, JsonNode? value)
    {
        if (value is not null) json[name] = value;
    }
}
