using System.Text;
using CudaLora.Engine;

namespace CudaLora.Lora;

/// <summary>Opens a user's file; what goes wrong is told in one line that names the file.</summary>
internal static class TextFile
{
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
}
