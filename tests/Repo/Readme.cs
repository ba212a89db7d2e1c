using System.Text;
using System.Text.RegularExpressions;
using CudaLora.Bench.Readme;

namespace CudaLora.Tests.Repo;

/// <summary>A document whose text is held to be true, README.md or the guide, and its fenced blocks.</summary>
internal sealed partial class Readme(string path)
{
    /// <summary>All of them.</summary>
    public static TheoryData<string> Paths { get; } = [.. ReadmeFigures.Documents];

    public string Text { get; } = SourceTree.Text(path).ReplaceLineEndings("\n");

    /// <summary>The file or folder that a link of the document leads to.</summary>
    public string Target(string link) => SourceTree.Full(Path.Combine(Path.GetDirectoryName(path)!, link));

    /// <summary>The contents of the blocks whose fence names one of the languages.</summary>
    public IEnumerable<string> Blocks(params string[] languages) =>
        from Match match in Fence().Matches(Text)
        where languages.Contains(match.Groups[1].Value)
        select match.Groups[2].Value;

    /// <summary>Command lines of the sh and bash blocks, continuation lines joined, comments left out.</summary>
    public IEnumerable<string> Commands() =>
        from block in Blocks("sh", "bash")
        from line in block.Replace("\\\n", " ").Split('\n')
        let command = line.Trim()
        where command.Length > 0 && command[0] != '#'
        select command;

    /// <summary>A command line's words, as a shell splits them.</summary>
    public static string[] Words(string command)
    {
        var words = new List<string>();
        var word = new StringBuilder();
        var (quote, open) = ('\0', false);
        foreach (var c in command)
        {
            if (quote != '\0')
            {
                if (c == quote) quote = '\0';
                else word.Append(c);
            }
            else if (c is '"' or '\'')
            {
                (quote, open) = (c, true);
            }
            else if (c == ' ')
            {
                if (open || word.Length > 0) words.Add(word.ToString());
                word.Clear();
                open = false;
            }
            else
            {
                word.Append(c);
            }
        }
        if (open || word.Length > 0) words.Add(word.ToString());
        return [.. words];
    }

    [GeneratedRegex(@"^```(\w+)\n(.*?)^```$", RegexOptions.Multiline | RegexOptions.Singleline)]
    private static partial Regex Fence();
}
