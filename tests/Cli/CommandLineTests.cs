using CudaLora.Cli;

namespace CudaLora.Tests;

public sealed class CommandLineTests
{
    [Fact]
    public void NoCommandShowsHelpAndIsAUsageError()
    {
        var run = CliRun.Of();
        Assert.Equal(ExitCode.Usage, run.Code);
        Assert.Contains("Commands:", run.Output, StringComparison.Ordinal);
        Assert.Empty(run.Error);
    }

    [Theory]
    [InlineData("unknown command 'devcies'; did you mean 'devices'?", "devcies")]
    [InlineData("unknown option '--confg'; did you mean '--config'?", "devices", "--confg", "x")]
    [InlineData("unknown option '--qqqqqqq'", "devices", "--qqqqqqq=1")]
    [InlineData("--config needs a value", "devices", "--config")]
    [InlineData("--config is given 2 times, but takes one value", "devices", "--config", "a", "--config", "b")]
    [InlineData("unexpected 'x'", "devices", "x")]
    [InlineData("'missing.yaml' does not exist", "devices", "--config", "missing.yaml")]
    public void AUsageErrorIsOneLineAndAPointerToHelp(string message, params string[] args)
    {
        var run = CliRun.Of(args).AssertFails(ExitCode.Usage, message);
        Assert.Matches(@"\nsee 'cudalora (devices )?--help'\r?\n$", run.Error);
    }

    [Fact]
    public void DevicesListsTheProcessor()
    {
        var run = CliRun.Of("devices").AssertSucceeds();
        Assert.Contains("cpu", run.Output, StringComparison.Ordinal);
    }

    [Fact]
    public void ACommandAloneIsTheOneOfTheList()
    {
        var terminal = new Terminal(TextWriter.Null, TextWriter.Null);
        var names = CommandList.All(terminal).Select(command => command.Name).ToArray();
        Assert.All(names, name => Assert.Equal(name, Assert.Single(CommandList.Named(name, terminal)).Name));
        Assert.Equal(names, CommandList.Named("trian", terminal).Select(command => command.Name));
        Assert.Equal(names, CommandList.Named(null, terminal).Select(command => command.Name));
    }

    [Fact]
    public void EveryCommandHasHelpWithAnExampleAndEveryOption()
    {
        using var output = new StringWriter();
        foreach (var command in CommandList.All(new Terminal(output, output)).OfType<CliCommand>())
        {
            var help = CliRun.Of(command.Name, "--help").AssertSucceeds().Output;
            Assert.NotEmpty(command.Examples);
            Assert.All(command.Examples, example => Assert.Contains("  " + example, help, StringComparison.Ordinal));
            Assert.All(command.Settings, setting =>
            {
                Assert.Contains("  " + setting.Flag, help, StringComparison.Ordinal);
                Assert.NotEmpty(setting.Help);
            });
            Assert.All(help.Split('\n'), line => Assert.True(line.Length <= 120, line));
        }
    }

    [Fact]
    public void NoTwoSettingsOfACommandShareAName()
    {
        using var output = new StringWriter();
        foreach (var command in CommandList.All(new Terminal(output, output)).OfType<CliCommand>())
            Assert.Equal(command.Settings.SelectMany(s => s.Keys).Distinct(), command.Settings.SelectMany(s => s.Keys));
    }

    [Fact]
    public void ExampleValuesInHelpAreAccepted()
    {
        using var output = new StringWriter();
        foreach (var setting in CommandList.All(new Terminal(output, output)).OfType<CliCommand>()
            .SelectMany(c => c.Settings))
        {
            if (setting.Example.Length > 0) setting.Parse([setting.Example], setting.Flag);
        }
    }

    [Theory]
    [InlineData("learnin_rate", "--learning-rate")]
    [InlineData("--LEARNING-RATE", "--learning-rate")]
    [InlineData("laerning-rate", "--learning-rate")]
    [InlineData("--sed", "--seed")]
    [InlineData("--temperature", null)]
    public void TheNearestNameIsFound(string name, string? expected) =>
        Assert.Equal(expected, NearestName.Of(name, ["--learning-rate", "--seed", "--data"]));
}
