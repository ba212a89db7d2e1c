using CudaLora.Bench.Readme;

namespace CudaLora.Tests.Repo;

/// <summary>The measured parts of README.md are those of the committed results, to the letter.</summary>
public class ReadmeFigureTests
{
    private static readonly string Results = SourceTree.Full(ReadmeFigures.Results);

    [Fact]
    public void ReadmeShowsTheCommittedResults() => Assert.Equal(Readme.Text, Made(Readme.Text));

    [Theory]
    [InlineData("| 1.61 |", "| 1.71 |")]
    [InlineData("13,269 | 16 s", "13,269 | 15 s")]
    [InlineData("0.61 and 0.28", "0.71 and 0.28")]
    [InlineData("93.9 %   (198 answers)", "95.9 %   (198 answers)")]
    public void AFigureChangedByHandIsSeen(string right, string wrong)
    {
        var changed = Readme.Text.Replace(right, wrong, StringComparison.Ordinal);
        Assert.NotEqual(Readme.Text, changed);
        Assert.Equal(Readme.Text, Made(changed));
    }

    [Fact]
    public void AMissingMarkIsNamed() => Assert.Contains(
        "<!-- figures: peers -->",
        Assert.Throws<InvalidDataException>(
            () => Made(Readme.Text.Replace("<!-- figures: peers -->", "", StringComparison.Ordinal))).Message,
        StringComparison.Ordinal);

    private static string Made(string text)
    {
        Assert.SkipUnless(Directory.Exists(Results), "this copy of the tree has no results");
        return ReadmeFigures.Apply(text, Results);
    }
}
