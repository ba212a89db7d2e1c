using CudaLora.Cli;

namespace CudaLora.Tests;

/// <summary>A command line run inside the test process.</summary>
internal sealed record CliRun(int Code, string Output, string Error)
{
    public static CliRun Of(params string[] args)
    {
        using var output = new StringWriter();
        using var error = new StringWriter();
        var code = CudaLora.Cli.Cli.Run(args, new Terminal(output, error));
        return new CliRun(code, output.ToString(), error.ToString());
    }

    /// <summary>The line of standard error that says what is wrong.</summary>
    public string ErrorLine => Error.ReplaceLineEndings("\n").Split('\n')
        .FirstOrDefault(line => line.StartsWith("error: ", StringComparison.Ordinal), "");

    /// <summary>A failure for a person: the exit code, one line that begins with "error:", and no trace.</summary>
    public CliRun AssertFails(int code, params string[] mentions)
    {
        Assert.True(code == Code, $"exit code {Code}, expected {code}; error: {Error}; output: {Output}");
        Assert.NotEqual("", ErrorLine);
        Assert.DoesNotContain("   at ", Error, StringComparison.Ordinal);
        foreach (var text in mentions) Assert.Contains(text, ErrorLine, StringComparison.Ordinal);
        return this;
    }

    public CliRun AssertSucceeds()
    {
        Assert.True(Code == 0, $"exit code {Code}; error: {Error}; output: {Output}");
        return this;
    }
}
