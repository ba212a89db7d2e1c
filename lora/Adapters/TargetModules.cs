using System.Globalization;
using System.Text.RegularExpressions;
using CudaLora.Engine;

namespace CudaLora.Lora;

/// <summary>A module that gets an adapter, with its rank and scale.</summary>
/// <param name="Module">The module.</param>
/// <param name="Rank">r, from rank_pattern or the config.</param>
/// <param name="Alpha">alpha, from alpha_pattern or the config.</param>
/// <param name="Scale">The factor on B A x.</param>
public readonly record struct LoraTarget(ModulePath Module, int Rank, double Alpha, double Scale);

/// <summary>Finds the modules a LoRA config names, by PEFT's rules.</summary>
public static class TargetModules
{
    /// <summary>The modules to adapt, in the order of the model.</summary>
    /// <param name="config">The adapter's config.</param>
    /// <param name="modules">All modules of the model.</param>
    /// <param name="family">Decides the targets if the config has none.</param>
    /// <param name="everyNameMustMatch">Refuse a list with a name that no module has. PEFT does not; adapters made
    /// elsewhere may list names of several families.</param>
    /// <exception cref="UserErrorException">Nothing matches, or a match is neither a linear layer nor an embedding;
    /// lists what exists.</exception>
    public static IReadOnlyList<LoraTarget> Resolve(
        LoraConfig config, IReadOnlyList<ModulePath> modules, ModelFamily family, bool everyNameMustMatch = true)
    {
        ModuleSelector selector = config.TargetModules ?? DefaultFor(family);
        if (everyNameMustMatch) CheckNames(selector, modules);
        var layer = new LayerFilter(config);
        var ranks = config.RankPattern.Select(p => (Compile(p.Key, "rank_pattern", Suffix(p.Key)), p.Value)).ToArray();
        var alphas = config.AlphaPattern
            .Select(p => (Compile(p.Key, "alpha_pattern", Suffix(p.Key)), p.Value)).ToArray();
        var targets = new List<LoraTarget>();
        try
        {
            foreach (ModulePath module in modules)
            {
                if (!IsSelected(selector, config, module) || !layer.Accepts(module.Path)) continue;
                if (!module.IsLinear && module.Kind != ModuleKind.Embedding)
                    throw new UserErrorException(
                        $"target_modules must be linear or embedding layers, but '{module.Path}' is not; "
                        + $"there are: {Existing(modules)}");
                int rank = First(ranks, module.Path, config.R);
                double alpha = First(alphas, module.Path, config.LoraAlpha);
                targets.Add(new LoraTarget(module, rank, alpha, config.ScaleOf(rank, alpha)));
            }
        }
        catch (RegexMatchTimeoutException e)
        {
            throw new UserErrorException($"the pattern '{e.Pattern}' takes too long to match '{e.Input}'", e);
        }
        return targets.Count > 0
            ? targets
            : throw new UserErrorException($"target_modules {selector} must match a linear layer"
                + $"{(config.LayersToTransform is null ? "" : " in layers_to_transform")}, but match none; "
                + $"there are: {Existing(modules)}");
    }

    /// <summary>What PEFT adapts when the config does not say.</summary>
    public static ModuleSelector DefaultFor(ModelFamily family) =>
        family == ModelFamily.Gpt2 ? ModuleSelector.Of("c_attn") : ModuleSelector.Of("q_proj", "v_proj");

    /// <summary>
    /// The config as it is saved: defaults and <c>all-linear</c> become the list of names they stood for, as short as
    /// possible without catching more.
    /// </summary>
    public static LoraConfig Expanded(
        LoraConfig config, IReadOnlyList<LoraTarget> targets, IReadOnlyList<ModulePath> modules)
    {
        if (config.TargetModules is { IsAllLinear: false }) return config;
        var paths = targets.Select(t => t.Module.Path).ToHashSet(StringComparer.Ordinal);
        var names = new SortedSet<string>(StringComparer.Ordinal);
        foreach (string path in paths)
        {
            string name = path[(path.LastIndexOf('.') + 1)..];
            bool exact = modules.All(m => !ModuleSelector.NameMatches(name, m.Path) || paths.Contains(m.Path)
                || config.ExcludeModules?.Matches(m.Path) == true || config.LayersToTransform is not null);
            names.Add(exact ? name : path);
        }
        return config with { TargetModules = ModuleSelector.Of(names) };
    }

    // As PEFT: re.match(r"(.*\.)?(K)$", path).
    private static string Suffix(string key) => $@"(.*\.)?({key})$";

    private static bool IsSelected(ModuleSelector selector, LoraConfig config, ModulePath module)
    {
        if (config.ExcludeModules?.Matches(module.Path) == true) return false;
        if (config.ModulesToSave.Any(name => IsInside(name, module.Path))) return false;
        return selector.IsAllLinear
            ? module.Kind is ModuleKind.Linear or ModuleKind.Conv1D
            : selector.Matches(module.Path);
    }

    private static bool IsInside(string name, string path) =>
        ModuleSelector.NameMatches(name, path)
        || path.StartsWith(name + ".", StringComparison.Ordinal)
        || path.Contains("." + name + ".", StringComparison.Ordinal);

    private static void CheckNames(ModuleSelector selector, IReadOnlyList<ModulePath> modules)
    {
        foreach (string name in selector.Names ?? [])
        {
            if (!modules.Any(m => ModuleSelector.NameMatches(name, m.Path)))
                throw new UserErrorException($"target_modules must name modules of the model, but '{name}' is none; "
                    + $"there are: {Existing(modules)}");
        }
    }

    private static string Existing(IReadOnlyList<ModulePath> modules) => string.Join(", ", modules
        .Where(m => m.IsLinear)
        .Select(m => m.Path[(m.Path.LastIndexOf('.') + 1)..])
        .Distinct());

    private static Regex Compile(string key, string field, string pattern)
    {
        try
        {
            return PythonRegex.Prefix(pattern);
        }
        catch (RegexParseException e)
        {
            throw new UserErrorException($"{field} '{key}' must be a regular expression, but is not: {e.Message}", e);
        }
    }

    private static T First<T>((Regex Pattern, T Value)[] patterns, string path, T fallback)
    {
        foreach ((Regex pattern, T value) in patterns)
        {
            if (pattern.IsMatch(path)) return value;
        }
        return fallback;
    }

    private sealed class LayerFilter
    {
        private readonly Regex[] patterns = [];
        private readonly IReadOnlyList<int>? layers;

        internal LayerFilter(LoraConfig config)
        {
            layers = config.LayersToTransform;
            if (layers is null) return;
            patterns = config.LayersPattern is null
                ? [PythonRegex.Prefix(@".*?\.[^.]*\.(\d+)\.")]
                : config.LayersPattern.Select(p => Compile(p, "layers_pattern", $@".*\.{p}\.(\d+)\.")).ToArray();
        }

        internal bool Accepts(string path)
        {
            if (layers is null) return true;
            foreach (Regex pattern in patterns)
            {
                Match match = pattern.Match(path);
                if (match.Success)
                    return layers.Contains(int.Parse(match.Groups[1].Value, CultureInfo.InvariantCulture));
            }
            return false;
        }
    }
}
