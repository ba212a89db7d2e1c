using System.Runtime.CompilerServices;

namespace CudaLora.Tests;

/// <summary>
/// Real models and data beside the repository (<c>../shared/data</c>); tests that need them skip without.
/// </summary>
internal static class SharedData
{
    /// <summary>The repository root, found from this source file.</summary>
    public static string Root { get; } = FindRoot();

    private static string? Folder { get; } = FindFolder();

    /// <summary>The full path of a file or folder of the shared data, or a skipped test.</summary>
    public static string Require(string relative)
    {
        string? path = Folder is null ? null : Path.Combine(Folder, relative);
        if (path is null || (!File.Exists(path) && !Directory.Exists(path)))
            Assert.Skip($"needs shared/data/{relative} beside the repository");
        return path;
    }

    private static string FindRoot([CallerFilePath] string here = "")
    {
        for (string? at = Path.GetDirectoryName(here); at is not null; at = Path.GetDirectoryName(at))
            if (File.Exists(Path.Combine(at, "CudaLora.sln"))) return at;
        return Directory.GetCurrentDirectory();
    }

    private static string? FindFolder()
    {
        for (string? at = Root; at is not null; at = Path.GetDirectoryName(at))
        {
            string data = Path.Combine(at, "shared", "data");
            if (File.Exists(Path.Combine(data, "MANIFEST.md"))) return data;
        }
        return null;
    }
}
