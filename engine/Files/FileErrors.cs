using System.Text;

namespace CudaLora.Engine;

/// <summary>Turns the failures of the file system and of file contents into one-line errors.</summary>
internal static class FileErrors
{
    private const int MaxQuoted = 120;

    /// <summary>True for what a path or a disk can cause, false for bugs.</summary>
    internal static bool IsFileSystem(Exception e) =>
        e is IOException or UnauthorizedAccessException or NotSupportedException or System.Security.SecurityException;

    internal static UserErrorException CannotRead(string path, Exception e) => e switch
    {
        FileNotFoundException => new($"{path}: the file does not exist", e),
        DirectoryNotFoundException => new($"{path}: the folder does not exist", e),
        UnauthorizedAccessException when Directory.Exists(path) => new($"{path}: must be a file, but is a folder", e),
        UnauthorizedAccessException => new($"{path}: no permission to read", e),
        _ => new($"{path}: cannot be read: {OneLine(e.Message)}", e),
    };

    internal static UserErrorException CannotWrite(string path, Exception e) =>
        new($"{path}: cannot be written ({OneLine(e.Message)}); what was there before is unchanged", e);

    /// <summary>A name from a file, safe to print: quoted, one line, shortened.</summary>
    internal static string Quote(string name)
    {
        var text = new StringBuilder("'");
        foreach (char c in name.Length > MaxQuoted ? name.AsSpan(0, MaxQuoted) : name)
            text.Append(char.IsControl(c) || char.IsSurrogate(c) || c is '\u2028' or '\u2029' ? '?' : c);
        return text.Append(name.Length > MaxQuoted ? "...'" : "'").ToString();
    }

    internal static string OneLine(string message) => message.ReplaceLineEndings(" ");
}
