using System.Text;
using CudaLora.Engine;

namespace CudaLora.Cli;

/// <summary>Standard output as a pipe or file: a full disk or a closed descriptor is the user's to mend, and is said in
/// one line.</summary>
internal sealed class OutputWriter(TextWriter inner) : TextWriter
{
    public override Encoding Encoding => inner.Encoding;

    public override void Write(char value) => Try(() => inner.Write(value));

    public override void Write(string? value) => Try(() => inner.Write(value));

    public override void Write(char[] buffer, int index, int count) => Try(() => inner.Write(buffer, index, count));

    public override void WriteLine(string? value) => Try(() => inner.WriteLine(value));

    public override void Flush() => Try(inner.Flush);

    private static void Try(Action write)
    {
        try
        {
            write();
        }
        catch (Exception e) when (e is IOException or UnauthorizedAccessException)
        {
            throw new UserErrorException($"standard output cannot be written: {e.Message.ReplaceLineEndings(" ")}", e);
        }
    }
}
