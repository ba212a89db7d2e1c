using System.Text;
using System.Text.RegularExpressions;

namespace CudaLora.Lora;

/// <summary>
/// Python regular expressions, as adapter configs contain them, on .NET. The spellings that differ are translated:
/// <c>(?P&lt;n&gt;</c>, <c>(?P=n)</c>, <c>\Z</c>, <c>{,n}</c>. Possessive quantifiers do not exist here and are
/// refused. A pattern that takes more than two seconds on one name is refused too.
/// </summary>
internal static class PythonRegex
{
    private static readonly TimeSpan Limit = TimeSpan.FromSeconds(2);

    /// <summary><c>re.fullmatch(pattern, text)</c>.</summary>
    internal static Regex Full(string pattern) => Make($@"\A(?:{Translate(pattern)})\z");

    /// <summary><c>re.match(pattern, text)</c>: anchored at the start only.</summary>
    internal static Regex Prefix(string pattern) => Make($@"\A(?:{Translate(pattern)})");

    private static Regex Make(string pattern) => new(pattern, RegexOptions.CultureInvariant, Limit);

    private static string Translate(string pattern)
    {
        var text = new StringBuilder(pattern.Length);
        bool inClass = false;
        for (int i = 0; i < pattern.Length; i++)
        {
            ReadOnlySpan<char> rest = pattern.AsSpan(i);
            char c = pattern[i];
            if (c == '\\' && i + 1 < pattern.Length)
            {
                text.Append('\\').Append(!inClass && pattern[i + 1] == 'Z' ? 'z' : pattern[i + 1]);
                i++;
            }
            else if (inClass)
            {
                if (c == ']') inClass = false;
                // A bracket inside a class is plain in Python, but means subtraction after a dash in .NET.
                text.Append(c == '[' ? "\\[" : c.ToString());
            }
            else if (c == '[')
            {
                inClass = true;
                text.Append(c);
                if (rest.StartsWith("[^")) text.Append(pattern[++i]);
                // A closing bracket right after the opening one is a member of the class.
                if (i + 1 < pattern.Length && pattern[i + 1] == ']')
                {
                    text.Append("\\]");
                    i++;
                }
            }
            else if (rest.StartsWith("(?P<"))
            {
                text.Append("(?<");
                i += 3;
            }
            else if (rest.StartsWith("(?P=") && rest.IndexOf(')') is > 0 and var end)
            {
                text.Append(@"\k<").Append(rest[4..end]).Append('>');
                i += end;
            }
            else if (rest.StartsWith("{,"))
            {
                text.Append("{0,");
                i++;
            }
            else
            {
                text.Append(c);
            }
        }
        return text.ToString();
    }
}
