using System.CommandLine;
using CudaLora.Cli;

namespace CudaLora.Tests;

public sealed class SettingTests
{
    private static readonly Setting<double> Rate = Make.Number(
        "learning_rate", "Rate", 1, "2", "a number of at least 0", v => v >= 0, aka: ["lr"]);

    private static readonly Setting<int> Steps = Make.Int("max_steps", "Steps", -1, "10", -1);
    private static readonly Setting<string[]> Targets = Make.List("target_modules", "Targets", "a,b", "names", ["x"]);
    private static readonly Setting<bool> Packing = Make.Switch("packing", "Pack");
    private static readonly Setting<string> Kind = Make.Choice("kind", "Kind", "one", ["one", "two"]);
    private static readonly Setting<string?> Prompt = Make.Text("prompt", "Prompt", "Hi", free: true);

    private static readonly Setting[] All = [Rate, Steps, Targets, Packing, Kind, Prompt, SharedSettings.Config];

    [Theory]
    [InlineData("--learning-rate")]
    [InlineData("--learning_rate")]
    [InlineData("--lr")]
    public void EverySpellingOfAFlagSetsIt(string flag) => Assert.Equal(2e-4, Read(flag, "2e-4").Get(Rate));

    [Fact]
    public void DefaultsCountWhereNothingIsGiven()
    {
        var values = Read();
        Assert.Equal(1, values.Get(Rate));
        Assert.Equal(["x"], values.Get(Targets));
        Assert.False(values.Get(Packing));
        Assert.False(values.IsGiven(Rate));
    }

    [Fact]
    public void NegativeNumbersAndEqualsSignsAreRead()
    {
        Assert.Equal(-1, Read("--max-steps", "-1").Get(Steps));
        Assert.Equal(5, Read("--max-steps=5").Get(Steps));
    }

    [Theory]
    [InlineData("--target-modules", "a", "b")]
    [InlineData("--target-modules", "a,b")]
    [InlineData("--target-modules", "a", "--target-modules", "b")]
    public void ListsTakeBlanksCommasAndRepeats(params string[] args) =>
        Assert.Equal(["a", "b"], Read(args).Get(Targets));

    [Fact]
    public void SwitchesTakeAnOptionalValue()
    {
        Assert.True(Read("--packing").Get(Packing));
        Assert.False(Read("--packing", "false").Get(Packing));
    }

    [Fact]
    public void FreeTextMayLookLikeAFlag() => Assert.Equal("--hello", Read("--prompt", "--hello").Get(Prompt));

    [Theory]
    [InlineData("--lr must be a number of at least 0, but got 'abc'", "--lr", "abc")]
    [InlineData("--learning-rate must be a number of at least 0, but got '-1'", "--learning-rate", "-1")]
    [InlineData("--learning-rate must be a number of at least 0, but got 'NaN'", "--learning-rate", "NaN")]
    [InlineData("--max-steps must be a whole number of at least -1, but got '1.5'", "--max-steps", "1.5")]
    [InlineData("--kind must be one or two, but got 'three'", "--kind", "three")]
    [InlineData("unknown option '--lerning-rate'; did you mean '--learning-rate'?", "--target-modules", "a",
        "--lerning-rate", "1")]
    [InlineData("--kind needs a value (one or two), but got '--max-stps'", "--kind", "--max-stps")]
    public void ABadValueIsNamedWithItsFlag(string message, params string[] args) =>
        Assert.Equal(message, Assert.Throws<UsageException>(() => Read(args)).Message);

    [Fact]
    public void AConfigFileSetsWhatTheCommandLineLeavesOut()
    {
        using var folder = new TemporaryFolder();
        var path = folder.Write("run.yaml",
            "# a run\nlearning_rate: 3e-4\nmax-steps: 7\ntarget_modules: [a, b]\npacking: true\nkind:\n");
        var values = Read("--config", path, "--lr", "1e-5");
        Assert.Equal(1e-5, values.Get(Rate));
        Assert.Equal(7, values.Get(Steps));
        Assert.Equal(["a", "b"], values.Get(Targets));
        Assert.True(values.Get(Packing));
        Assert.Equal("one", values.Get(Kind));
    }

    [Theory]
    [InlineData("max_steps: 5\nlearnin_rate: 1\n", ":2: unknown key 'learnin_rate'; did you mean 'learning_rate'?")]
    [InlineData("\n\nmax_steps: many\n", ":3: max_steps must be a whole number of at least -1, but got 'many'")]
    [InlineData("lr: 1\nlearning_rate: 2\n", ":2: 'learning_rate' is already set on line 1")]
    [InlineData("kind: [one, two]\n", ":1: kind must be one or two, but is a sequence")]
    [InlineData("- 1\n- 2\n", ": must hold 'name: value' lines, but holds a Sequence")]
    [InlineData("zzzzzzzz: 1\n", ":1: unknown key 'zzzzzzzz'")]
    public void AMistakeInAConfigFileIsNamedWithItsLine(string yaml, string message)
    {
        using var folder = new TemporaryFolder();
        var path = folder.Write("run.yaml", yaml);
        Assert.Equal(path + message, Assert.Throws<UsageException>(() => Read("--config", path)).Message);
    }

    [Fact]
    public void BrokenYamlIsNamedWithItsLine()
    {
        using var folder = new TemporaryFolder();
        var path = folder.Write("run.yaml", "kind: one\nmax_steps: [1, 2\n");
        var message = Assert.Throws<UsageException>(() => Read("--config", path)).Message;
        Assert.Matches(@"run\.yaml:\d+: is not valid YAML: ", message);
        Assert.DoesNotContain('\n', message);
    }

    [Fact]
    public void WrittenConfigFilesReadBackTheSame()
    {
        using var folder = new TemporaryFolder();
        var values = Read("--lr", "2e-05", "--prompt", "say \"no\": \\ # x\n\ttwo", "--target-modules", "a,b",
            "--packing", "--kind", "two");
        var path = folder.File("run.yaml");
        ConfigFile.Write(path, "heading", values.Given(All));
        var again = Read("--config", path);
        Assert.Equal(values.Get(Rate), again.Get(Rate));
        Assert.Equal(values.Get(Prompt), again.Get(Prompt));
        Assert.Equal(values.Get(Targets), again.Get(Targets));
        Assert.Equal(values.Get(Packing), again.Get(Packing));
        Assert.Equal(values.Get(Kind), again.Get(Kind));
    }

    private static SettingValues Read(params string[] args)
    {
        var command = new RootCommand();
        foreach (var setting in All) command.Add(setting.Option);
        return SettingValues.Read(command.Parse(args), All);
    }
}
