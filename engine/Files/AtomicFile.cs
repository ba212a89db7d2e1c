using System.Text;

namespace CudaLora.Engine;

/// <summary>
/// Saves that cannot harm what was there before: the new content is written to <c>path.tmp</c>, flushed to the disk,
/// and renamed over <c>path</c>. A failed or interrupted save removes the temporary file; one left by a killed process
/// is overwritten by the next save.
/// </summary>
public static class AtomicFile
{
    /// <summary>Replaces the file by what <paramref name="write"/> puts into the stream.</summary>
    /// <exception cref="UserErrorException">The disk is full, the folder is missing or not writable.</exception>
    public static void Write(string path, Action<Stream> write)
    {
        using StagedFile staged = Stage(path, write);
        staged.Commit();
    }

    /// <summary>Replaces the file by a text in UTF-8 without byte order mark.</summary>
    public static void WriteText(string path, string text) =>
        Write(path, stream => stream.Write(Encoding.UTF8.GetBytes(text)));

    /// <summary>
    /// Writes and flushes <c>path.tmp</c> only. <see cref="StagedFile.Commit"/> puts it in place; disposing it without
    /// a commit removes it. Several files can so be staged first and committed together.
    /// </summary>
    public static StagedFile Stage(string path, Action<Stream> write) => Stage(path, write, static stream => stream);

    /// <summary>As above; <paramref name="wrap"/> lets a test put a failing stream in front of the file.</summary>
    internal static StagedFile Stage(string path, Action<Stream> write, Func<Stream, Stream> wrap)
    {
        string full = Path.GetFullPath(path);
        var staged = new StagedFile(full);
        try
        {
            Directory.CreateDirectory(Path.GetDirectoryName(full) ?? ".");
            var file = new FileStream(staged.TemporaryPath, FileMode.Create, FileAccess.Write, FileShare.None, 1 << 16);
            staged.Owns = true;
            using (file)
            {
                Stream target = wrap(file);
                write(target);
                target.Flush();
                file.Flush(flushToDisk: true);
            }
            return staged;
        }
        catch (Exception e)
        {
            staged.Dispose();
            if (FileErrors.IsFileSystem(e)) throw FileErrors.CannotWrite(path, e);
            throw;
        }
    }
}

/// <summary>A file written beside its destination and not yet in place.</summary>
public sealed class StagedFile : IDisposable
{
    internal StagedFile(string path)
    {
        Path = path;
        TemporaryPath = path + ".tmp";
    }

    /// <summary>The destination, absolute.</summary>
    public string Path { get; }

    internal string TemporaryPath { get; }

    internal bool Owns { get; set; }

    /// <summary>Renames the written file over its destination.</summary>
    public void Commit()
    {
        ObjectDisposedException.ThrowIf(!Owns, this);
        try
        {
            File.Move(TemporaryPath, Path, overwrite: true);
            Owns = false;
        }
        catch (Exception e) when (FileErrors.IsFileSystem(e))
        {
            throw FileErrors.CannotWrite(Path, e);
        }
    }

    /// <summary>Removes the temporary file if it was not committed.</summary>
    public void Dispose()
    {
        if (!Owns) return;
        Owns = false;
        try
        {
            File.Delete(TemporaryPath);
        }
        catch (Exception e) when (FileErrors.IsFileSystem(e))
        {
            // The next save to the same path overwrites it.
        }
    }
}
