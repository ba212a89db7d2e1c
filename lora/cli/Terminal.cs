using Spectre.Console;

namespace CudaLora.Cli;

/// <summary>Where a command reads and writes, and what kind of place that is.</summary>
internal sealed class Terminal
{
    private const int PlainWidth = 100;

    // Made when it is used: most of what starts and ends at once only writes lines.
    private readonly Lazy<IAnsiConsole> ansi;

    public Terminal(TextWriter output, TextWriter error, bool isLive = false, TextReader? input = null,
        bool isInputPiped = false)
    {
        (Output, Error, IsLive, Input, IsInputPiped) = (output, error, isLive, input, isInputPiped);
        ansi = new Lazy<IAnsiConsole>(MakeAnsi);
    }

    public TextWriter Output { get; }

    public TextWriter Error { get; }

    /// <summary>True if output is a screen that can be redrawn.</summary>
    public bool IsLive { get; }

    /// <summary>Standard input, or null.</summary>
    public TextReader? Input { get; }

    /// <summary>True if nobody types there: a pipe or a file.</summary>
    public bool IsInputPiped { get; }

    /// <summary>Tables, colours and live views.</summary>
    public IAnsiConsole Ansi => ansi.Value;

    public int Width => IsLive ? Math.Clamp(Ansi.Profile.Width, 60, 110) : PlainWidth;

    /// <summary>The process's own.</summary>
    public static Terminal OfProcess()
    {
        var screen = !Console.IsOutputRedirected && Environment.GetEnvironmentVariable("TERM") is not "dumb";
        var output = Console.IsOutputRedirected ? new OutputWriter(Console.Out) : Console.Out;
        return new Terminal(output, Console.Error, screen, Console.In, Console.IsInputRedirected);
    }

    public void Line(string text = "") => Output.WriteLine(text);

    private IAnsiConsole MakeAnsi()
    {
        var made = AnsiConsole.Create(new AnsiConsoleSettings
        {
            Ansi = IsLive ? AnsiSupport.Detect : AnsiSupport.No,
            ColorSystem = IsLive ? ColorSystemSupport.Detect : ColorSystemSupport.NoColors,
            Interactive = IsLive ? InteractionSupport.Detect : InteractionSupport.No,
            Out = new AnsiConsoleOutput(Output),
        });
        if (!IsLive) made.Profile.Width = PlainWidth;
        return made;
    }
}
