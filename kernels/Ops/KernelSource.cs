using System.Reflection;

namespace CudaLora.Kernels.Ops;

/// <summary>The PTX files of this folder, carried inside the assembly.</summary>
public static class KernelSource
{
    private const string Extension = ".ptx";

    /// <summary>Names without extension, in order.</summary>
    public static IReadOnlyList<string> Stems { get; } =
    [
        .. typeof(KernelSource).Assembly.GetManifestResourceNames()
            .Where(name => name.EndsWith(Extension, StringComparison.Ordinal))
            .Select(name => name[..^Extension.Length])
            .Order(StringComparer.Ordinal),
    ];

    /// <summary>The text of <paramref name="stem"/>.ptx.</summary>
    /// <exception cref="ArgumentException">There is no such file.</exception>
    public static string Read(string stem)
    {
        using Stream stream = typeof(KernelSource).Assembly.GetManifestResourceStream(stem + Extension)
            ?? throw new ArgumentException(
                $"[kernels] a PTX file must be one of {string.Join(", ", Stems)}, but got {stem}");
        using var reader = new StreamReader(stream);
        return reader.ReadToEnd();
    }
}
