using System.Buffers;
using System.Text;
using CudaLora.Engine;

namespace CudaLora.Lora;

/// <summary>Opens a user's file; what goes wrong is told in one line that names the file.</summary>
internal static class TextFile
{
    private static readonly UTF8Encoding Strict = new(false, throwOnInvalidBytes: true);

    public static FileStream Open(string file)
    {
        try
        {
            return new FileStream(file, FileMode.Open, FileAccess.Read, FileShare.Read, 1 << 16,
                FileOptions.SequentialScan);
        }
        catch (Exception e) when (e is FileNotFoundException or DirectoryNotFoundException)
        {
            throw new UserErrorException($"{file}: the file does not exist", e);
        }
        catch (Exception e) when (e is UnauthorizedAccessException or IOException)
        {
            throw new UserErrorException(Directory.Exists(file)
                ? $"{file}: must be a file, but is a folder"
                : $"{file}: cannot be read ({e.Message.ReplaceLineEndings(" ")})", e);
        }
    }

    public static byte[] Bytes(string file)
    {
        using var stream = Open(file);
        var bytes = new byte[stream.Length];
        stream.ReadExactly(bytes);
        return bytes;
    }

    public static string Text(string file)
    {
        using var reader = new StreamReader(Open(file), Encoding.UTF8);
        return reader.ReadToEnd();
    }

    /// <summary>A reader that refuses what is not UTF-8, or UTF-16 with its mark; read it with <see cref="Line"/> or
    /// <see cref="Rest"/>.</summary>
    public static StreamReader Reader(string file) => new(Open(file), Strict);

    /// <summary>The next line, or null at the end.</summary>
    public static string? Line(StreamReader reader, string file) => Checked(reader.ReadLine, file);

    /// <summary>All that is left.</summary>
    public static string Rest(StreamReader reader, string file) => Checked(reader.ReadToEnd, file)!;

    private static string? Checked(Func<string?> read, string file)
    {
        try
        {
            return read();
        }
        catch (DecoderFallbackException e)
        {
            throw new UserErrorException($"{file}: line {BadLine(file)} must be UTF-8 text, but has other bytes", e);
        }
    }

    private static int BadLine(string file)
    {
        ReadOnlySpan<byte> left = Bytes(file);
        int line = 1;
        while (Rune.DecodeFromUtf8(left, out var rune, out int length) == OperationStatus.Done)
        {
            if (rune.Value == '\n') line++;
            left = left[length..];
        }
        return line;
    }
}
