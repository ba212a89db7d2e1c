using System.Text.RegularExpressions;
using CudaLora.Bench.Readme;

namespace CudaLora.Tests.Repo;

/// <summary>The measured parts of README.md and the guide are those of the committed results, to the letter.</summary>
public partial class ReadmeFigureTests
{
    private static readonly string Results = SourceTree.Full(ReadmeFigures.Results);

    [Theory]
    [MemberData(nameof(Readme.Paths), MemberType = typeof(Readme))]
    public void ItShowsTheCommittedResults(string path)
    {
        var text = new Readme(path).Text;
        Assert.Equal(text, Made(path, text));
    }

    [Theory]
    [InlineData("README.md", "| 1.61 |", "| 1.71 |")]
    [InlineData("README.md", "29,096 | 7 s", "29,096 | 6 s")]
    [InlineData("README.md", "5.10 and 0.82", "5.20 and 0.82")]
    [InlineData("README.md", "93.9 %   (198 answers)", "95.9 %   (198 answers)")]
    [InlineData("lora/README.md", "| q, k, v, o | 8 | 49,152 | 0.1193 |", "| q, k, v, o | 8 | 49,152 | 0.1093 |")]
    [InlineData("lora/README.md", "it does not lag here", "it lags here")]
    [InlineData("lora/README.md", "v=0.75", "v=0.85")]
    public void AFigureChangedByHandIsSeen(string path, string right, string wrong)
    {
        var text = new Readme(path).Text;
        var changed = text.Replace(right, wrong, StringComparison.Ordinal);
        Assert.NotEqual(text, changed);
        Assert.Equal(text, Made(path, changed));
    }

    [Theory]
    [InlineData("README.md", "<!-- figures: peers -->")]
    [InlineData("lora/README.md", "<!-- figures: lab rank -->")]
    public void AMissingMarkIsNamed(string path, string mark)
    {
        var text = new Readme(path).Text.Replace(mark, "", StringComparison.Ordinal);
        var message = Assert.Throws<InvalidDataException>(() => Made(path, text)).Message;
        Assert.Contains(path, message, StringComparison.Ordinal);
        Assert.Contains(mark, message, StringComparison.Ordinal);
    }

    // A picture belongs to numbers: it lies with the results, and is small enough for a repository.
    [Fact]
    public void PicturesOfTheGuideAreSmallAndBesideItsResults()
    {
        var guide = new Readme("lora/README.md");
        var pictures = Picture().Matches(guide.Text).Select(match => match.Groups[1].Value).ToArray();
        Assert.True(pictures.Length >= 8, $"{pictures.Length} pictures");
        Assert.All(pictures, picture =>
        {
            Assert.StartsWith("../" + ReadmeFigures.Results, picture, StringComparison.Ordinal);
            Assert.InRange(new FileInfo(guide.Target(picture)).Length, 1000, 150_000);
        });
    }

    private static string Made(string path, string text)
    {
        Assert.SkipUnless(Directory.Exists(Results), "this copy of the tree has no results");
        return ReadmeFigures.Apply(path, text, SourceTree.Full("."));
    }

    [GeneratedRegex(@"!\[[^\]]*\]\(([^)]+)\)")]
    private static partial Regex Picture();
}
