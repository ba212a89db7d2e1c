using CudaLora.Engine;
using CudaLora.Lora;

namespace CudaLora.Cli;

/// <summary>A model with what is needed to talk to it: tokenizer, template, and perhaps an adapter.</summary>
internal sealed class LoadedModel : IDisposable
{
    private LoadedModel(string folder, CausalLM model, Tokenizer tokenizer, ChatTemplate template) =>
        (Folder, Model, Tokenizer, Template) = (folder, model, tokenizer, template);

    public string Folder { get; }

    public CausalLM Model { get; }

    public Tokenizer Tokenizer { get; }

    public ChatTemplate Template { get; }

    public ModelAdapter? Adapter { get; set; }

    public string? AdapterFolder { get; private set; }

    /// <summary>Tokens that an adapter puts in front of every text.</summary>
    public int VirtualTokens { get; set; }

    /// <summary>Most tokens of a text; batches are padded to a multiple of eight.</summary>
    public int Context => VirtualTokens == 0
        ? Model.Config.MaxPositions
        : Math.Max(1, (Model.Config.MaxPositions - VirtualTokens) / 8 * 8);

    /// <summary>Ids that end an answer.</summary>
    public IReadOnlyList<int> StopIds =>
        [.. Model.Generation.EosTokenIds.Union(ChatTemplate.StopIds(Template, Tokenizer))];

    /// <summary>
    /// Loads a model folder and, if given, an adapter folder; with <paramref name="quantization"/> the linear layers
    /// become 4-bit on the way.
    /// </summary>
    /// <exception cref="UserErrorException">A folder or file is missing, damaged or made for another model.</exception>
    public static LoadedModel Load(
        string folder, string template, string? adapter, Action<string> note, ModelPlacement? placement = null,
        QuantizationOptions? quantization = null, Action<QuantizationError>? quantized = null)
    {
        if (!Directory.Exists(folder)) throw new UserErrorException($"{folder}: the model folder does not exist");
        if (adapter is not null && !Directory.Exists(adapter))
            throw new UserErrorException($"{adapter}: the adapter folder does not exist");
        var model = CausalLM.Load(folder, placement, quantization, quantized);
        try
        {
            var loaded = Around(model, folder, folder, template, note);
            if (adapter is not null)
            {
                loaded.Adapter = Lora.AdapterFolder.Load(model, adapter);
                loaded.VirtualTokens = (loaded.Adapter as VirtualTokenAdapter)?.Config.Count ?? 0;
                loaded.AdapterFolder = adapter;
            }
            return loaded;
        }
        catch
        {
            model.Dispose();
            throw;
        }
    }

    /// <summary>Puts a tokenizer and a template to a model that exists.</summary>
    public static LoadedModel Around(
        CausalLM model, string folder, string tokenizerFolder, string template, Action<string> note)
    {
        var tokenizer = Tokenizer.Load(tokenizerFolder);
        if (tokenizer.VocabSize > model.Config.VocabSize)
            throw new UserErrorException(
                $"{tokenizerFolder}: the tokenizer has {tokenizer.VocabSize} ids, but the model only "
                + $"{model.Config.VocabSize}: they do not belong together");
        var chosen = template is "auto" or "none" ? ChatTemplate.For(tokenizer, note)
            : ChatTemplate.Named(template, tokenizer);
        return new LoadedModel(folder, model, tokenizer, chosen);
    }

    /// <summary>Family, size and type of the weights in a few words.</summary>
    public string Describe()
    {
        var bits = Model.Quantization is { } options ? $", {QuantizationTable.Describe(options)}" : "";
        return $"{Model.Config.ModelType}, {Figures.Count(Model.ParameterCount)} parameters{bits}";
    }

    /// <summary>Turns records into tokens as the settings say, within the model's context.</summary>
    public SftEncoder Encoder(SettingValues values, Action<string> note)
    {
        var length = values.Get(DataSettings.MaxLength);
        if (length > Context && values.IsGiven(DataSettings.MaxLength))
            note($"{DataSettings.MaxLength.Flag} {length} is above the model's context; {Context} is used");
        return new SftEncoder(Tokenizer, Template, new SftOptions
        {
            MaxLength = Math.Min(length, Context),
            LearnPrompt = values.Get(DataSettings.TrainOnPrompt),
        });
    }

    public void Dispose()
    {
        Adapter?.Dispose();
        Model.Dispose();
    }
}
