using System.Text.Json.Nodes;
using CudaLora.Cli;
using CudaLora.Engine;

namespace CudaLora.Tests;

/// <summary><c>cudalora bench</c>: what it writes and compares; no test looks at a time.</summary>
public class BenchCommandTests
{
    private static readonly BenchBudget Shortest = new(0.001, 2);

    [Fact]
    public void EveryCaseOfTheCatalogueRuns()
    {
        var cases = BenchCatalogue.All(shrink: 16);
        Assert.Equal(cases.Count, cases.DistinctBy(one => one.Title).Count());
        foreach (var one in cases)
        {
            Assert.True(one.Bytes > 0 || one.Flops > 0, one.Title);
            using var work = one.Prepare();
            work.Call();
            work.Call();
        }
    }

    [Fact]
    public void TitlesOfTheWholeCatalogueAreUnique()
    {
        var titles = BenchCatalogue.All().Select(one => one.Title).ToArray();
        Assert.Equal(titles.Distinct(), titles);
        Assert.Contains(titles, title => title.StartsWith("model: generate", StringComparison.Ordinal));
    }

    [Fact]
    public void CallsOfOneCaseAreTimedInEveryRound()
    {
        var (made, calls) = (0, 0);
        BenchCase[] cases =
        [
            KernelCases.Peak(1000), KernelCases.Copy(1 << 14),
            new BenchCase("mine", "counted", 4, 1, () =>
            {
                made++;
                return new BenchWork(() => calls++);
            }),
        ];
        var (ceiling, rows) = new BenchRun(Nowhere(), Shortest, default).Measure(cases);
        Assert.Equal(Shortest.Rounds, made);
        Assert.True(calls > made);
        Assert.Equal(3, rows.Count);
        Assert.True(ceiling is { Device: "cpu", Flops: > 0, Bytes: > 0 });
    }

    [Fact]
    public void NoiseIsTheLargerOfJitterAndDrift()
    {
        // Quartiles 9.5 and 10.5, and no drift: half of 1 of 10.
        Assert.Equal((10, 0.05), BenchClock.Summary([[9, 9.5, 10, 10.5, 11]]));
        // Rounds without jitter, 10 and 12: half of 2 of 11.
        var (median, noise) = BenchClock.Summary([[10, 10, 10], [12, 12, 12]]);
        Assert.Equal(11, median);
        Assert.Equal(1 / 11.0, noise, 12);
    }

    [Theory]
    [InlineData(1.00, 1.09, 0.05, 0.05, false)]
    [InlineData(1.00, 1.11, 0.05, 0.05, true)]
    [InlineData(1.00, 1.02, 0, 0, false)] // below what any machine does by itself
    [InlineData(1.00, 0.50, 0, 0, false)]
    public void ARegressionIsBeyondTheNoiseOfBoth(
        double before, double now, double noiseBefore, double noiseNow, bool isRegression)
    {
        var change = new BenchChange(Row("a", before, noiseBefore), Row("a", now, noiseNow));
        Assert.Equal(isRegression, change.IsRegression);
        Assert.Equal(before / now > 1.5, change.IsGain);
    }

    [Fact]
    public void TheShareIsThatOfTheNearerCeiling()
    {
        var ceiling = new BenchCeiling("cpu", 100, 10);
        Assert.Equal(0.5, new BenchRow("cpu", "g", "n", 2, 0, 1, 100, 0).Share(ceiling));
        Assert.Equal(0.25, new BenchRow("cpu", "g", "n", 4, 0, 10, 1, 0).Share(ceiling));
    }

    [Fact]
    public void AReportIsWrittenReadAndCompared()
    {
        using var folder = new TemporaryFolder();
        var (first, second) = (folder.File("first.json"), folder.File("second.json"));
        var former = Report(Row("fast", 1, 0.01), Row("slow", 1, 0.01), Row("gone", 1, 0));
        Assert.Equal(0, BenchCommand.Finish(Nowhere(), former, null, first, false));
        foreach (var name in (string[])["first.md", "first_roofline.svg", "first_roofline.png"])
            Assert.True(new FileInfo(folder.File(name)).Length > 100, name);
        var read = BenchReport.Read(first);
        Assert.Equal(former.Rows, read.Rows);
        Assert.Equal(former.Ceilings, read.Ceilings);

        var now = Report(Row("fast", 0.5, 0.01), Row("slow", 1.2, 0.01), Row("new", 1, 0));
        using var text = new StringWriter();
        Assert.Equal(0, BenchCommand.Finish(new Terminal(text, text), now, read, second, false));
        Assert.Contains("1 of 2 measurements are slower", text.ToString(), StringComparison.Ordinal);
        Assert.Equal(1, BenchCommand.Finish(Nowhere(), now, read, second, failOnRegression: true));
        Assert.Equal(0, BenchCommand.Finish(Nowhere(), former, read, second, failOnRegression: true));
        var page = File.ReadAllText(folder.File("second.md"));
        Assert.Contains("| g: fast | 1.00 s | 1.00 s | 0.0 % | 3.0 % | same |", page, StringComparison.Ordinal);
        Assert.Throws<UserErrorException>(
            () => BenchCommand.Finish(Nowhere(), Report(Row("other", 1, 0)), read, second, false));
    }

    [Fact]
    public void OneMeasurementFromTheCommandLine()
    {
        using var folder = new TemporaryFolder();
        var output = folder.File("one.json");
        var run = CliRun.Of("bench", "--quick", "--filter", "square, 512", "--output", output).AssertSucceeds();
        Assert.Contains("product: square, 512 x 512 x 512", run.Output, StringComparison.Ordinal);
        var json = JsonNode.Parse(File.ReadAllText(output))!;
        Assert.Equal(3, json["rows"]!.AsArray().Count);
        Assert.All(json["rows"]!.AsArray(), row => Assert.True((double)row!["seconds"]! > 0));
    }

    [Fact]
    public void TheEmulatorShowsThatKernelsAreTimed()
    {
        using var folder = new TemporaryFolder();
        var output = folder.File("device.json");
        var run = CliRun.Of(
            "bench", "--quick", "--device", "emulator", "--filter", "vector_add_f32", "--output", output)
            .AssertSucceeds();
        Assert.Contains("they say nothing about a GPU", run.Output, StringComparison.Ordinal);
        Assert.Contains(BenchReport.Read(output).Rows, row => row.Title.StartsWith(
            "kernel: vector_add_f32", StringComparison.Ordinal));
    }

    [Theory]
    [InlineData("no measurement holds 'zzz'; the groups are ceiling, product", "--filter", "zzz")]
    [InlineData("--output must end in .json, but is 'x.txt'", "--output", "x.txt")]
    [InlineData("--fail-on-regression needs --against", "--fail-on-regression")]
    [InlineData("the report 'missing.json' does not exist", "--against", "missing.json")]
    [InlineData("--device must be", "--device", "tpu")]
    public void AMistakeIsOneLineAndExitCodeTwo(string mention, params string[] args) =>
        CliRun.Of(["bench", .. args]).AssertFails(ExitCode.Usage, mention);

    [Theory]
    [InlineData("no json at all")]
    [InlineData("[1, 2]")]
    [InlineData("{\"kind\": \"cudalora bench\"}")]
    [InlineData("{\"kind\": \"other\", \"rows\": []}")]
    public void AFileThatIsNoReportIsNamed(string text)
    {
        using var folder = new TemporaryFolder();
        var path = folder.Write("other.json", text);
        CliRun.Of("bench", "--against", path).AssertFails(ExitCode.Usage, "other.json", "is no JSON report");
    }

    private static Terminal Nowhere() => new(TextWriter.Null, TextWriter.Null);

    private static BenchRow Row(string name, double seconds, double noise) =>
        new("cpu", "g", name, seconds, noise, 1e9, 2e9, 0);

    private static BenchReport Report(params BenchRow[] rows) => new(
        new Dictionary<string, string> { ["threads"] = "2" }, [new BenchCeiling("cpu", 1e11, 2e10)], rows);
}
