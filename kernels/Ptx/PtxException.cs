namespace CudaLora.Kernels.Ptx;

/// <summary>
/// A PTX text that does not parse, or that uses something outside the supported subset. The message is one line.
/// </summary>
public sealed class PtxException : Exception
{
    /// <summary>Builds the one-line message <c>file(line,column): problem: 'text'</c>.</summary>
    public PtxException(string file, int line, int column, string problem, string offendingText)
        : base($"{file}({line},{column}): {problem}: '{offendingText}'")
    {
        File = file;
        Line = line;
        Column = column;
        Problem = problem;
        OffendingText = offendingText;
    }

    /// <summary>Name of the PTX file, as given to the parser.</summary>
    public string File { get; }

    /// <summary>Line, from 1.</summary>
    public int Line { get; }

    /// <summary>Column, from 1.</summary>
    public int Column { get; }

    /// <summary>What is wrong, without the position.</summary>
    public string Problem { get; }

    /// <summary>The text at fault.</summary>
    public string OffendingText { get; }
}
