using System.Text.RegularExpressions;
using CudaLora.Cli;

namespace CudaLora.Tests.Repo;

/// <summary>
/// README.md and the guide say what is true: their C# runs, their commands exist, their links lead somewhere.
/// </summary>
public partial class ReadmeTests
{
    // The samples' file compiles and its tests run; a block is one of its private methods, word for word.
    [Theory]
    [MemberData(nameof(Readme.Paths), MemberType = typeof(Readme))]
    public void EveryCSharpBlockIsASample(string path)
    {
        var readme = new Readme(path);
        var source = SourceTree.Text("tests/Repo/ReadmeSamples.cs").ReplaceLineEndings("\n");
        var samples = Sample().Matches(source).Select(match => Words(match.Groups[1].Value)).ToHashSet();
        foreach (var block in readme.Blocks("csharp"))
        {
            var body = Words(Using().Replace(block, ""));
            Assert.True(samples.Contains(body),
                $"this block of {path} must be a method of tests/Repo/ReadmeSamples.cs, with a test that runs it:\n"
                + block);
        }
    }

    [Theory]
    [MemberData(nameof(Readme.Paths), MemberType = typeof(Readme))]
    public void EveryCommandLineCanBeParsed(string path)
    {
        var readme = new Readme(path);
        var root = CudaLora.Cli.Cli.Root(new Terminal(TextWriter.Null, TextWriter.Null));
        var commands = readme.Commands().Select(Readme.Words).Where(IsOurs).ToArray();
        Assert.NotEmpty(commands);
        foreach (var words in commands)
        {
            var parsed = CudaLora.Cli.Cli.Parse(root, words[(Array.IndexOf(words, "--") + 1)..]);
            Assert.Empty(parsed.Errors.Select(error => $"{string.Join(' ', words)}: {error.Message}"));
            // The values too: a choice must be one of those there are.
            if (parsed.CommandResult.Command is CliCommand command)
                SettingValues.Read(parsed, command.Settings);
        }
    }

    [Theory]
    [MemberData(nameof(Readme.Paths), MemberType = typeof(Readme))]
    public void ProjectsInCommandsExist(string path)
    {
        var readme = new Readme(path);
        var projects =
            from command in readme.Commands()
            let words = Readme.Words(command)
            let at = Array.IndexOf(words, "--project")
            where at >= 0
            select words[at + 1];
        var missing = projects.Where(project => !project.EndsWith(".csproj", StringComparison.Ordinal)
            ? !Directory.Exists(SourceTree.Full(project))
                || Directory.GetFiles(SourceTree.Full(project), "*.csproj").Length != 1
            : !File.Exists(SourceTree.Full(project)));
        Assert.Empty(missing);
    }

    [Theory]
    [MemberData(nameof(Readme.Paths), MemberType = typeof(Readme))]
    public void LinksLeadToFiles(string path)
    {
        var readme = new Readme(path);
        var dead = Link().Matches(readme.Text).Select(match => match.Groups[1].Value)
            .Where(link => !File.Exists(readme.Target(link)) && !Directory.Exists(readme.Target(link)));
        Assert.Empty(dead);
    }

    private static bool IsOurs(string[] words)
    {
        var at = Array.IndexOf(words, "--project");
        return at >= 0 && words[at + 1].TrimEnd('/') == "lora/cli" && words.Contains("--");
    }

    private static string Words(string text) => Space().Replace(text, " ").Trim();

    [GeneratedRegex(@"\n    private (?:async )?\w+ \w+\(\)\n    \{\n(.*?)\n    \}\n", RegexOptions.Singleline)]
    private static partial Regex Sample();

    [GeneratedRegex(@"^using [\w.]+;\n", RegexOptions.Multiline)]
    private static partial Regex Using();

    [GeneratedRegex(@"\s+")]
    private static partial Regex Space();

    [GeneratedRegex(@"\]\((?!https?:|#)([^)#]+)")]
    private static partial Regex Link();
}
