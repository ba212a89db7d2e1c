using System.Text.Json.Nodes;
using CudaLora.Engine;

namespace CudaLora.Lora;

/// <summary>Which biases are trained and saved.</summary>
public enum LoraBias
{
    /// <summary>None.</summary>
    None,

    /// <summary>Every bias of the model.</summary>
    All,

    /// <summary>The biases of the adapted layers.</summary>
    LoraOnly,
}

/// <summary>
/// adapter_config.json of a LoRA adapter, with PEFT's names and defaults
/// (https://huggingface.co/docs/peft, developer guide "checkpoint format"). Fields that are not read are kept and
/// written back.
/// </summary>
public sealed record LoraConfig
{
    /// <summary>File name inside an adapter folder.</summary>
    public const string FileName = "adapter_config.json";

    /// <summary><c>r</c>: rank.</summary>
    public int R { get; init; } = 8;

    /// <summary><c>lora_alpha</c>: the scale is alpha / r, or alpha / √r with <see cref="UseRsLora"/>.</summary>
    public double LoraAlpha { get; init; } = 8;

    /// <summary><c>lora_dropout</c>: on the adapter's input, in training only.</summary>
    public double LoraDropout { get; init; }

    /// <summary><c>target_modules</c>; null means the usual ones of the model's family.</summary>
    public ModuleSelector? TargetModules { get; init; }

    /// <summary><c>exclude_modules</c>: never adapted.</summary>
    public ModuleSelector? ExcludeModules { get; init; }

    /// <summary><c>modules_to_save</c>: trained in full and saved beside the adapter.</summary>
    public IReadOnlyList<string> ModulesToSave { get; init; } = [];

    /// <summary><c>layers_to_transform</c>: only these layer numbers; null means all.</summary>
    public IReadOnlyList<int>? LayersToTransform { get; init; }

    /// <summary>
    /// <c>layers_pattern</c>: the component before the layer number; null means the first number is it.
    /// </summary>
    public IReadOnlyList<string>? LayersPattern { get; init; }

    /// <summary><c>rank_pattern</c>: ranks of single modules; the first matching pattern counts.</summary>
    public IReadOnlyList<KeyValuePair<string, int>> RankPattern { get; init; } = [];

    /// <summary><c>alpha_pattern</c>: alphas of single modules; the first matching pattern counts.</summary>
    public IReadOnlyList<KeyValuePair<string, double>> AlphaPattern { get; init; } = [];

    /// <summary><c>bias</c>.</summary>
    public LoraBias Bias { get; init; }

    /// <summary><c>use_rslora</c>.</summary>
    public bool UseRsLora { get; init; }

    /// <summary><c>init_lora_weights</c>.</summary>
    public LoraInit InitLoraWeights { get; init; }

    /// <summary>Rounds of the randomised decomposition of <c>pissa_niter_N</c>; 0 for the exact one.</summary>
    public int PissaIterations { get; init; }

    /// <summary><c>use_dora</c>: trains the norm of each output's weights by itself.</summary>
    public bool UseDora { get; init; }

    /// <summary><c>lora_bias</c>: B has a bias.</summary>
    public bool BiasOnB { get; init; }

    /// <summary><c>fan_in_fan_out</c>: the base weights are stored (in, out), as GPT-2's.</summary>
    public bool FanInFanOut { get; init; }

    /// <summary><c>task_type</c>.</summary>
    public string? TaskType { get; init; } = "CAUSAL_LM";

    /// <summary><c>base_model_name_or_path</c>.</summary>
    public string? BaseModel { get; init; }

    /// <summary>Names in the file that this program does not know; they are kept. For a warning.</summary>
    public IReadOnlyList<string> UnknownFields { get; init; } = [];

    internal JsonObject? Source { get; init; }

    /// <summary>True when A and B begin as a part of the base weight, which is taken off it.</summary>
    internal bool IsPartOfBase => InitLoraWeights is LoraInit.Pissa or LoraInit.Olora;

    /// <summary>
    /// The config of a file that holds such an adapter as one of twice the rank on the whole base, with the same scale.
    /// </summary>
    internal LoraConfig Joined()
    {
        var factor = UseRsLora ? Math.Sqrt(2) : 2;
        return this with
        {
            R = 2 * R,
            LoraAlpha = factor * LoraAlpha,
            RankPattern = [.. RankPattern.Select(p => KeyValuePair.Create(p.Key, 2 * p.Value))],
            AlphaPattern = [.. AlphaPattern.Select(p => KeyValuePair.Create(p.Key, factor * p.Value))],
            InitLoraWeights = LoraInit.Default,
            PissaIterations = 0,
        };
    }

    /// <summary>The factor on B A x for a rank and an alpha.</summary>
    public double ScaleOf(int r, double alpha) => UseRsLora ? alpha / Math.Sqrt(r) : alpha / r;

    /// <summary>Reads adapter_config.json, given its folder or the file itself.</summary>
    /// <exception cref="UserErrorException">Missing, malformed, or with a field that changes the mathematics and is not
    /// supported; the message names it.</exception>
    public static LoraConfig Read(string path)
    {
        string file = Path.GetFileName(path).EndsWith(".json", StringComparison.Ordinal)
            ? path
            : Path.Combine(path, FileName);
        return LoraConfigReader.Read(JsonFields.Read(file));
    }

    /// <summary>Writes adapter_config.json into a folder, atomically, as PEFT does: sorted keys, two spaces.</summary>
    public void Write(string folder) =>
        ConfigJson.Write(Path.Combine(folder, FileName), LoraConfigWriter.ToJson(this));

    /// <summary>Checks what no file is needed for.</summary>
    /// <exception cref="UserErrorException">A value outside its range or options that exclude each other.</exception>
    public void Validate()
    {
        if (R < 1) throw new UserErrorException($"r must be at least 1, but is {R}");
        if (LoraDropout is < 0 or >= 1)
            throw new UserErrorException($"lora_dropout must be at least 0 and below 1, but is {LoraDropout}");
        foreach ((string pattern, int rank) in RankPattern)
        {
            if (rank < 1) throw new UserErrorException($"rank_pattern '{pattern}' must be at least 1, but is {rank}");
        }
        var name = LoraInitNames.Of(InitLoraWeights, PissaIterations);
        if (UseDora && IsPartOfBase)
            throw new UserErrorException(
                $"use_dora cannot be combined with init_lora_weights {name}: its norms are those of the whole base weight");
        if (BiasOnB && UseDora)
            throw new UserErrorException("lora_bias cannot be combined with use_dora");
        if (BiasOnB && InitLoraWeights is not (LoraInit.Default or LoraInit.Random))
            throw new UserErrorException($"lora_bias needs init_lora_weights true or false, but it is {name}");
        if (LayersPattern is { Count: > 0 } && LayersToTransform is null)
            throw new UserErrorException("layers_pattern needs layers_to_transform, but that is not given");
        if (TargetModules?.IsRegex == true && LayersToTransform is not null)
            throw new UserErrorException("layers_to_transform needs target_modules as a list, but got the regular "
                + $"expression '{TargetModules}'");
    }
}
