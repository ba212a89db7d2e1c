using System.Globalization;

namespace CudaLora.Cli;

/// <summary>Makes settings by kind of value.</summary>
internal static class Make
{
    public static Setting<string?> Text(
        string key, string help, string example, string? fallback = null, string[]? aka = null, bool free = false,
        string? shown = null, string accepts = "a text") =>
        new(key, fallback, help, example, accepts)
        {
            OtherKeys = aka ?? [],
            IsFreeText = free,
            DefaultText = shown,
            Read = (IReadOnlyList<string> texts, out string? value) =>
                (value = texts.Count == 1 ? texts[0] : null) is not null && (free || value.Length > 0),
            Write = value => value is null ? null : [value],
        };

    /// <summary>One of a few words.</summary>
    public static Setting<string> Choice(
        string key, string help, string fallback, string[] choices, string[]? aka = null, string? shown = null) =>
        new(key, fallback, help, choices.FirstOrDefault(c => c != fallback) ?? fallback, OneOf(choices))
        {
            OtherKeys = aka ?? [],
            DefaultText = shown,
            Read = (IReadOnlyList<string> texts, out string value) => (value = texts.Count != 1
                ? ""
                : choices.FirstOrDefault(c => c.Equals(texts[0], StringComparison.OrdinalIgnoreCase)) ?? "").Length > 0,
            Write = value => [value],
        };

    public static Setting<int> Int(
        string key, string help, int fallback, string example, int least = int.MinValue, string[]? aka = null,
        string? shown = null) =>
        new(key, fallback, help, example,
            least == int.MinValue ? "a whole number" : $"a whole number of at least {least.Text()}")
        {
            OtherKeys = aka ?? [],
            DefaultText = shown,
            Read = (IReadOnlyList<string> texts, out int value) => IsInt(texts, out value) && value >= least,
            Write = value => [value.Text()],
        };

    /// <summary>A whole number that may be left out.</summary>
    public static Setting<int?> MaybeInt(
        string key, string help, string example, int least, string shown, string[]? aka = null,
        int most = int.MaxValue) =>
        new(key, null, help, example, most == int.MaxValue
            ? $"a whole number of at least {least.Text()}"
            : $"a whole number from {least.Text()} to {most.Text()}")
        {
            OtherKeys = aka ?? [],
            DefaultText = shown,
            Read = (IReadOnlyList<string> texts, out int? value) =>
            {
                var fits = IsInt(texts, out var number) && number >= least && number <= most;
                value = number;
                return fits;
            },
            Write = value => value is int number ? [number.Text()] : null,
        };

    /// <summary>A finite number that <paramref name="fits"/>; <paramref name="accepts"/> says which do.</summary>
    public static Setting<double> Number(
        string key, string help, double fallback, string example, string accepts, Func<double, bool> fits,
        string[]? aka = null, string? shown = null) =>
        new(key, fallback, help, example, accepts)
        {
            OtherKeys = aka ?? [],
            DefaultText = shown,
            Read = (IReadOnlyList<string> texts, out double value) => IsNumber(texts, out value) && fits(value),
            Write = value => [value.Text()],
        };

    /// <summary>A number that may be left out.</summary>
    public static Setting<double?> MaybeNumber(
        string key, string help, string example, string accepts, Func<double, bool> fits, string shown,
        string[]? aka = null) =>
        new(key, null, help, example, accepts)
        {
            OtherKeys = aka ?? [],
            DefaultText = shown,
            Read = (IReadOnlyList<string> texts, out double? value) =>
            {
                var read = IsNumber(texts, out var number) && fits(number);
                value = number;
                return read;
            },
            Write = value => value is double number ? [number.Text()] : null,
        };

    public static Setting<bool> Switch(string key, string help, string[]? aka = null) =>
        new(key, false, help, "", "true or false")
        {
            OtherKeys = aka ?? [],
            DefaultText = "off",
            Read = (IReadOnlyList<string> texts, out bool value) =>
            {
                value = texts.Count == 0 || texts[0].Equals("true", StringComparison.OrdinalIgnoreCase);
                return texts.Count == 0
                    || (texts.Count == 1 && (value || texts[0].Equals("false", StringComparison.OrdinalIgnoreCase)));
            },
            Write = value => [value ? "true" : "false"],
        };

    /// <summary>Several texts, split at commas.</summary>
    public static Setting<string[]> List(
        string key, string help, string example, string accepts, string[]? fallback = null, string[]? aka = null,
        string? shown = null) =>
        new(key, fallback ?? [], help, example, accepts)
        {
            OtherKeys = aka ?? [],
            IsList = true,
            DefaultText = shown,
            Read = (IReadOnlyList<string> texts, out string[] value) =>
            {
                value = [.. texts.SelectMany(
                    t => t.Split(',', StringSplitOptions.TrimEntries | StringSplitOptions.RemoveEmptyEntries))];
                return value.Length > 0;
            },
            Write = value => value.Length == 0 ? null : value,
        };

    private static string Text(this double value) => value.ToString("R", CultureInfo.InvariantCulture);

    private static string Text(this int value) => value.ToString(CultureInfo.InvariantCulture);

    private static string OneOf(string[] choices) =>
        choices.Length == 1 ? choices[0] : string.Join(", ", choices[..^1]) + " or " + choices[^1];

    internal static bool IsInt(IReadOnlyList<string> texts, out int value)
    {
        value = 0;
        return texts.Count == 1
            && int.TryParse(texts[0], NumberStyles.AllowLeadingSign, CultureInfo.InvariantCulture, out value);
    }

    private static bool IsNumber(IReadOnlyList<string> texts, out double value)
    {
        value = 0;
        return texts.Count == 1
            && double.TryParse(texts[0], NumberStyles.Float, CultureInfo.InvariantCulture, out value)
            && double.IsFinite(value);
    }
}
