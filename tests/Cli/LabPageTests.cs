using System.Text.Json.Nodes;
using CudaLora.Cli;
using SkiaSharp;

namespace CudaLora.Tests;

/// <summary>The page of <c>cudalora lab all</c> in a browser.</summary>
[Collection(nameof(LabFixture))]
public sealed class LabPageTests(LabFixture lab)
{
    [Fact]
    public void EveryExperimentIsSeenAndNothingIsFetched()
    {
        using var browser = Browser.FindOrSkip();
        var page = browser.Measure(lab.Page);
        Assert.Empty(page["requests"]!.AsArray());
        Assert.True((int)page["scrollWidth"]! <= (int)page["width"]!, "the page is wider than the window");
        var headings = page["headings"]!.AsArray();
        Assert.Equal(
            LabExperiments.All.Select(experiment => experiment.Name), headings.Select(h => (string)h!["section"]!));
        var images = page["images"]!.AsArray();
        Assert.Equal(Directory.GetFiles(lab.Output, "*.png").Length, images.Count);
        Assert.All(LabExperiments.All, e => Assert.Contains(images, i => (string)i!["section"]! == e.Name));

        using var picture = browser.Screenshot(lab.Page, (int)page["height"]!);
        Assert.All(headings, heading => AssertDrawn(picture, heading!, (string)heading!["text"]!, 2));
        // Axes, grid, letters and curves: a blank one has a single colour.
        Assert.All(images, image => AssertDrawn(picture, image!, (string)image!["alt"]!, 8));
        Assert.Empty(browser.Console);
    }

    [Fact]
    public void NoTextOfAPictureIsCutOrLiesOnAnother()
    {
        using var browser = Browser.FindOrSkip();
        Assert.Empty(browser.Measure(lab.Page)["overlaps"]!.AsArray().Select(text => (string)text!));
    }

    // That the checks above can fail.
    [Fact]
    public void ABadPageIsSeenToBeBad()
    {
        const string Blank = "data:image/svg+xml;base64,"
            + "PHN2ZyB4bWxucz0iaHR0cDovL3d3dy53My5vcmcvMjAwMC9zdmciIHdpZHRoPSI0MCIgaGVpZ2h0PSI0MCIvPg==";
        var text = Convert.ToBase64String("""
            <svg xmlns="http://www.w3.org/2000/svg" width="90" height="40"><text x="5" y="20">one</text>
            <text x="10" y="20">two</text><text x="80" y="30">cut off</text></svg>
            """u8);
        var html = $"""
            <!DOCTYPE html><html><body><section id="a"><h2>A</h2><img alt="blank" src="{Blank}">
            <img alt="text" src="data:image/svg+xml;base64,{text}"><img alt="far" src="https://example.invalid/a.png">
            <div style="width: 3000px">wide</div></section><script>console.error("an error")</script></body></html>
            """;
        using var browser = Browser.FindOrSkip();
        var page = browser.Measure(html);
        Assert.Contains("https://example.invalid/a.png", page["requests"]!.ToJsonString(), StringComparison.Ordinal);
        Assert.True((int)page["scrollWidth"]! > (int)page["width"]!);
        Assert.Contains(browser.Console, line => line.Contains("an error", StringComparison.Ordinal));
        Assert.Equal(
            ["text: 'one' lies on 'two'", "text: 'cut off' is cut"],
            page["overlaps"]!.AsArray().Select(found => (string)found!));
        using var picture = browser.Screenshot(html, 600);
        Assert.Equal(1, Colours(picture, page["images"]![0]!));
        Assert.True(Colours(picture, page["headings"]![0]!) > 1);
    }

    private static void AssertDrawn(SKBitmap picture, JsonNode box, string name, int colours)
    {
        Assert.True(
            (double)box["w"]! > 100 && (double)box["h"]! > 10, $"'{name}' has the size of {box.ToJsonString()}");
        var found = Colours(picture, box);
        Assert.True(found >= colours, $"'{name}' is drawn in {found} colours: it is blank");
    }

    private static int Colours(SKBitmap picture, JsonNode box)
    {
        var colours = new HashSet<SKColor>();
        var (left, top) = ((int)(double)box["x"]!, (int)(double)box["y"]!);
        for (var y = top; y < Math.Min(picture.Height, top + (int)(double)box["h"]!); y++)
        {
            for (var x = left; x < Math.Min(picture.Width, left + (int)(double)box["w"]!); x++)
                colours.Add(picture.GetPixel(x, y));
        }
        return colours.Count;
    }
}
