using System.Text.RegularExpressions;

namespace CudaLora.Tests.Repo;

/// <summary>House rules that a machine can check.</summary>
public partial class SourceTests
{
    private const int MaxLines = 400;
    private const int MaxColumns = 120;

    // A PTX module has no include, and registers have no index: an entry with an unrolled tile is as long as the tile.
    private static readonly Dictionary<string, int> LongFiles = new()
    {
        ["kernels/Ops/AttentionBf16.ptx"] = 650,
        ["kernels/Ops/AttentionWideBf16.ptx"] = 710,
        ["kernels/Ops/AttentionBackwardKeysBf16.ptx"] = 570,
        ["kernels/Ops/AttentionBackwardKeysWideBf16.ptx"] = 500,
        ["kernels/Ops/AttentionBackwardQueriesBf16.ptx"] = 520,
        ["kernels/Ops/AttentionBackwardQueriesWideBf16.ptx"] = 550,
        ["kernels/Ops/GemmMma.ptx"] = 470,
        ["kernels/Ops/GemmMmaNn.ptx"] = 470,
        ["kernels/Ops/GemmMmaTn.ptx"] = 470,
        ["kernels/Ops/LoraWgmma.ptx"] = 520,
        ["kernels/Ops/LoraWgmmaBackward.ptx"] = 520,
        ["kernels/Ops/Nf4Gemm.ptx"] = 520,
        ["kernels/Ops/Nf4GemmNn.ptx"] = 490,
    };

    [Fact]
    public void FilesAreShort()
    {
        var tooLong = SourceTree.Files(".cs", ".ptx")
            .Select(path => (Path: path, Lines: File.ReadLines(SourceTree.Full(path)).Count()))
            .Where(file => file.Lines > LongFiles.GetValueOrDefault(file.Path, MaxLines))
            .Select(file => $"{file.Path} has {file.Lines} lines");
        Assert.Empty(tooLong);
    }

    [Fact]
    public void ExceptionsAreStillNeeded()
    {
        var idle = LongFiles.Keys.Where(
            path => !File.Exists(SourceTree.Full(path)) || File.ReadLines(SourceTree.Full(path)).Count() <= MaxLines);
        Assert.Empty(idle);
    }

    [Fact]
    public void LinesFitTheColumns()
    {
        var tooWide =
            from path in SourceTree.Files(".cs", ".ptx")
            from line in Code(path)
            where line.Text.Length > MaxColumns && !IsOneText().IsMatch(line.Text)
            select $"{path}:{line.Number} has {line.Text.Length} columns";
        Assert.Empty(tooWide);
    }

    [Fact]
    public void FoldersAreNamedForWhatIsInThem()
    {
        string[] names = ["Common", "Helpers", "Utils", "Utilities", "Extensions", "Misc"];
        var bad = SourceTree.Files().SelectMany(path => path.Split('/')[..^1]).Distinct()
            .Where(folder => names.Contains(folder, StringComparer.OrdinalIgnoreCase));
        Assert.Empty(bad);
    }

    [Fact]
    public void NothingIsLeftUndone()
    {
        // This file names them.
        var bad =
            from path in SourceTree.Files(".cs", ".ptx", ".csproj", ".props", ".sh", ".py")
            where !path.EndsWith("/SourceTests.cs", StringComparison.Ordinal)
            from Match match in Undone().Matches(SourceTree.Text(path))
            select $"{path}: {match.Value}";
        Assert.Empty(bad);
    }

    // The lines outside raw texts, which are as long as what they hold.
    private static IEnumerable<(string Text, int Number)> Code(string path)
    {
        var (raw, number) = (false, 0);
        foreach (var line in File.ReadLines(SourceTree.Full(path)))
        {
            var marks = line.Split("\"\"\"").Length - 1;
            number++;
            if (!raw && marks == 0)
                yield return (line, number);
            raw ^= marks % 2 == 1;
        }
    }

    // A text, the one thing that is not broken for its length, and a reference that is one word.
    [GeneratedRegex(@"^\s*(\+ |\[InlineData\()?\$*@?""|<inheritdoc cref")]
    private static partial Regex IsOneText();

    [GeneratedRegex(@"\bNotImplementedException\b|\b(TODO|FIXME|XXX|HACK)\b|#region\b")]
    private static partial Regex Undone();
}
