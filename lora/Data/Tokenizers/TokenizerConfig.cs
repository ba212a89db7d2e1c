namespace CudaLora.Lora;

/// <summary>The side files of a tokenizer: tokenizer_config.json, special_tokens_map.json, added_tokens.json,
/// chat_template.jinja, and the model_type of config.json. All are optional.</summary>
internal sealed class TokenizerConfig
{
    private readonly JsonAt[] _sources;

    private TokenizerConfig(params JsonAt[] sources) => _sources = sources;

    /// <summary>True when tokenizer_config.json or special_tokens_map.json is there.</summary>
    public bool Exists => _sources.Any(source => !source.IsNull);

    public bool? AddBos { get; private init; }
    public bool? AddEos { get; private init; }
    public bool AddPrefixSpace { get; private init; }
    public string? ChatTemplate { get; private init; }

    /// <summary>Qwen2Tokenizer and such; where absent, the model_type of config.json.</summary>
    public string Family { get; private init; } = "";
    public AddedToken[] Added { get; private init; } = [];

    public static TokenizerConfig Read(string folder)
    {
        var config = Optional(folder, "tokenizer_config.json");
        var map = Optional(folder, "special_tokens_map.json");
        var model = Optional(folder, "config.json");
        var added = Optional(folder, "added_tokens.json");
        string jinja = Path.Combine(folder, "chat_template.jinja");
        return new TokenizerConfig(config, map)
        {
            AddBos = Flag(config, "add_bos_token"),
            AddEos = Flag(config, "add_eos_token"),
            AddPrefixSpace = Flag(config, "add_prefix_space") ?? false,
            ChatTemplate = File.Exists(jinja) ? TextFile.Text(jinja) : Template(config),
            Family = Member(config, "tokenizer_class").TextOrNull() ?? Member(model, "model_type").TextOrNull() ?? "",
            Added = [.. Decoder(config), .. Plain(added)],
        };
    }

    /// <summary>The text of bos_token and such: a string, or an object with content.</summary>
    public string? TokenName(string name)
    {
        foreach (var source in _sources)
        {
            var value = Member(source, name);
            if (value.IsNull) continue;
            return value.Kind == System.Text.Json.JsonValueKind.Object ? value.Get("content").Text() : value.Text();
        }
        return null;
    }

    private static JsonAt Optional(string folder, string name)
    {
        string file = Path.Combine(folder, name);
        return File.Exists(file) ? JsonAt.Load(file) : default;
    }

    private static JsonAt Member(JsonAt json, string name) => json.IsNull ? default : json.Get(name);

    private static bool? Flag(JsonAt config, string name)
    {
        var value = Member(config, name);
        return value.IsNull ? null : value.Bool(false);
    }

    private static string? Template(JsonAt config)
    {
        var value = Member(config, "chat_template");
        if (value.Kind != System.Text.Json.JsonValueKind.Array) return value.TextOrNull();
        var named = value.Items().ToArray();
        if (named.Length == 0) return null;
        int chosen = Array.FindIndex(named, item => item.Get("name").TextOrNull() == "default");
        return named[Math.Max(chosen, 0)].Get("template").Text();
    }

    private static IEnumerable<AddedToken> Decoder(JsonAt config)
    {
        foreach (var (name, value) in Member(config, "added_tokens_decoder").Members())
            yield return ReadToken(value, int.TryParse(name, out int id) && id >= 0 ? id
                : throw value.Error("named by its id"));
    }

    private static IEnumerable<AddedToken> Plain(JsonAt added)
    {
        foreach (var (name, value) in added.Members()) yield return new AddedToken(value.Int(), name, Special: true);
    }

    public static AddedToken ReadToken(JsonAt json, int id) => new(id, json.Get("content").Text(),
        json.Get("special").Bool(false), json.Get("lstrip").Bool(false), json.Get("rstrip").Bool(false),
        json.Get("normalized").Bool(false), json.Get("single_word").Bool(false));
}
