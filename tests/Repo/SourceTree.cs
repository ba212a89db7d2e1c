namespace CudaLora.Tests.Repo;

/// <summary>The files of the repository, without what builds and runs leave there.</summary>
internal static class SourceTree
{
    private static readonly HashSet<string> Generated =
    [
        ".git", ".vs", ".idea", ".cache", "artifacts", "out", "report", "BenchmarkDotNet.Artifacts", "TestResults",
        "__pycache__",
    ];

    /// <summary>Paths from the root with forward slashes, sorted, of files with one of the extensions.</summary>
    public static IReadOnlyList<string> Files(params string[] extensions) =>
        [.. Under(SharedData.Root)
            .Where(path => extensions.Length == 0 || extensions.Contains(Path.GetExtension(path)))
            .Select(path => Path.GetRelativePath(SharedData.Root, path).Replace('\\', '/'))
            .Order(StringComparer.Ordinal)];

    /// <summary>File names without extension in one folder.</summary>
    public static IReadOnlyList<string> Stems(string folder, string pattern) =>
        [.. Directory.GetFiles(Full(folder), pattern).Select(path => Path.GetFileNameWithoutExtension(path))
            .Order(StringComparer.Ordinal)];

    public static string Full(string path) => Path.Combine(SharedData.Root, path);

    public static string Text(string path) => File.ReadAllText(Full(path));

    private static IEnumerable<string> Under(string folder) =>
        Directory.GetFiles(folder).Concat(Directory.GetDirectories(folder)
            .Where(sub => !Generated.Contains(Path.GetFileName(sub)))
            .SelectMany(Under));
}
