using System.Globalization;
using BenchmarkDotNet.Loggers;

namespace CudaLora.Bench;

/// <summary>
/// Of BenchmarkDotNet's log: each benchmark's name as it begins, errors, and what comes with the tables.
/// </summary>
internal sealed class QuickLogger : ILogger
{
    private const string Begins = "// Benchmark: ";
    private const string Remain = "// ** Remained ";
    private const string Tables = "// * Summary *";

    private readonly ILogger console = ConsoleLogger.Default;
    private string line = "";
    private bool shown;

    public string Id => nameof(QuickLogger);

    public int Priority => 0;

    public void Write(LogKind logKind, string text)
    {
        if (shown || logKind == LogKind.Error)
            console.Write(logKind, text);
        else
            line += text;
    }

    public void WriteLine()
    {
        if (shown)
            console.WriteLine();
        else
            EndLine(LogKind.Default);
    }

    public void WriteLine(LogKind logKind, string text)
    {
        if (shown || logKind == LogKind.Error)
        {
            console.WriteLine(logKind, text);
            return;
        }
        line += text;
        EndLine(logKind);
    }

    public void Flush() => console.Flush();

    private void EndLine(LogKind logKind)
    {
        var whole = line;
        line = "";
        shown |= whole.StartsWith(Tables, StringComparison.Ordinal);
        if (whole.StartsWith(Begins, StringComparison.Ordinal))
            console.WriteLine(LogKind.Info, string.Create(
                CultureInfo.InvariantCulture, $"{DateTime.Now:HH:mm:ss}  {whole[Begins.Length..]}"));
        else if (whole.StartsWith(Remain, StringComparison.Ordinal))
            console.WriteLine(LogKind.Info, "          " + whole["// ** ".Length..]);
        else if (shown)
            console.WriteLine(logKind, whole);
    }
}
