using System.CommandLine;

namespace CudaLora.Cli;

/// <summary>
/// One thing a user can set: <c>--learning-rate</c> (or <c>--learning_rate</c>) on the command line,
/// <c>learning_rate</c> in a config file.
/// </summary>
/// <param name="key">The name in snake_case, as Hugging Face spells it.</param>
/// <param name="help">One sentence.</param>
/// <param name="example">A value, shown in help after the flag; empty for switches.</param>
internal abstract class Setting(string key, string help, string example)
{
    private Option? option;

    public string Key { get; } = key;

    public string Help { get; } = help;

    public string Example { get; } = example;

    /// <summary>Other names, snake_case too.</summary>
    public string[] OtherKeys { get; init; } = [];

    /// <summary>What the default is, in words, where the value alone would not tell.</summary>
    public string? DefaultText { get; init; }

    /// <summary>Several values: <c>--x a b</c>, <c>--x a,b</c> or a YAML list.</summary>
    public bool IsList { get; init; }

    /// <summary>Text that may begin with dashes, such as a prompt.</summary>
    public bool IsFreeText { get; init; }

    /// <summary>What values are accepted, in words that follow "must be".</summary>
    public abstract string Accepts { get; }

    public string Flag => FlagOf(Key);

    public IEnumerable<string> Keys => OtherKeys.Prepend(Key);

    /// <summary>
    /// The System.CommandLine option; values arrive as raw text and are read by <see cref="Parse"/>. One object, also
    /// when command lines are read at the same time: results are found by it.
    /// </summary>
    public Option Option => LazyInitializer.EnsureInitialized(ref option, MakeOption);

    /// <summary>The default as text, or null if there is none to show.</summary>
    public abstract string? ShownDefault { get; }

    /// <summary>Reads the value; <paramref name="source"/> is the flag or the file, line and key.</summary>
    /// <exception cref="UsageException">The value is not accepted.</exception>
    public abstract object? Parse(IReadOnlyList<string> texts, string source);

    /// <summary>The value as config files hold it: a scalar text or a list; null for no value.</summary>
    public abstract IReadOnlyList<string>? Texts(object? value);

    public static string FlagOf(string key) => "--" + key.Replace('_', '-');

    protected virtual Option MakeOption() => IsList
        ? new Option<string[]>(Flag, Aliases())
        {
            Description = Help,
            Arity = ArgumentArity.OneOrMore,
            AllowMultipleArgumentsPerToken = true,
        }
        : new Option<string>(Flag, Aliases()) { Description = Help };

    protected string[] Aliases() =>
        [.. Keys.SelectMany(k => new[] { FlagOf(k), "--" + k }).Distinct().Where(name => name != Flag)];
}

/// <summary>A setting whose value is a <typeparamref name="T"/>.</summary>
internal sealed class Setting<T>(string key, T fallback, string help, string example, string accepts) :
    Setting(key, help, example)
{
    /// <summary>Reads all texts given; false refuses them.</summary>
    public required TryRead Read { get; init; }

    /// <summary>Writes the value back as texts that <see cref="Read"/> understands.</summary>
    public required Func<T, IReadOnlyList<string>?> Write { get; init; }

    public T Default { get; } = fallback;

    public override string Accepts { get; } = accepts;

    public override string? ShownDefault =>
        DefaultText ?? (Write(Default) is { Count: > 0 } texts ? string.Join(",", texts) : null);

    public override object? Parse(IReadOnlyList<string> texts, string source)
    {
        if (Read(texts, out var value)) return value;
        throw new UsageException($"{source} must be {Accepts}, but got '{string.Join(",", texts)}'");
    }

    public override IReadOnlyList<string>? Texts(object? value) => value is null ? null : Write((T)value);

    // A bare switch means true, so System.CommandLine has to know that the option is one.
    protected override Option MakeOption() => typeof(T) == typeof(bool)
        ? new Option<bool>(Flag, Aliases()) { Description = Help }
        : base.MakeOption();

    public delegate bool TryRead(IReadOnlyList<string> texts, out T value);
}
