using System.Diagnostics;

namespace CudaLora.Kernels.Driver;

/// <summary>What an assembly gave: success, the costs and warnings, and the raw text.</summary>
public sealed record AssemblyResult(bool Success, AssemblerLog Log, string Output);

/// <summary>NVIDIA's PTX assembler where this machine has one; kernels/ptxas.sh fetches it.</summary>
public sealed class Ptxas
{
    private Ptxas(string path) => Path = path;

    /// <summary>The program.</summary>
    public string Path { get; }

    /// <summary>
    /// Looks in CUDALORA_PTXAS, PATH, CUDA_HOME and CUDA_PATH, and in .cache/ptxas of this folder and those above it.
    /// Null where there is none.
    /// </summary>
    public static Ptxas? Find()
    {
        foreach (string candidate in Candidates())
        {
            if (File.Exists(candidate)) return new Ptxas(candidate);
        }
        return null;
    }

    /// <summary>The release it calls itself, for example 12.4.131.</summary>
    public string Version()
    {
        string said = Run(out _, "--version");
        int at = said.LastIndexOf(", V", StringComparison.Ordinal);
        return at < 0 ? "unknown" : said[(at + 3)..].Split('\n')[0].Trim();
    }

    /// <summary>
    /// Assembles a file for <paramref name="target"/>, for example sm_80. Writes nothing unless asked.
    /// </summary>
    /// <param name="file">PTX file.</param>
    /// <param name="target">Architecture, at least the one the text names.</param>
    /// <param name="cubin">Where the result goes, or null to drop it.</param>
    public AssemblyResult Assemble(string file, string target, string? cubin = null)
    {
        string output = cubin ?? System.IO.Path.GetTempFileName();
        try
        {
            string text = Run(out int exitCode, "-v", "-arch", target, file, "-o", output);
            return new AssemblyResult(exitCode == 0, AssemblerLog.Parse(text), text.Trim());
        }
        finally
        {
            if (cubin is null) File.Delete(output);
        }
    }

    private string Run(out int exitCode, params string[] arguments)
    {
        var start = new ProcessStartInfo(Path, arguments)
        {
            RedirectStandardError = true,
            RedirectStandardOutput = true,
        };
        using Process process = Process.Start(start)
            ?? throw new InvalidOperationException($"[ptxas] must start, but did not ({Path})");
        Task<string> said = process.StandardOutput.ReadToEndAsync();
        string text = process.StandardError.ReadToEnd() + said.GetAwaiter().GetResult();
        process.WaitForExit();
        exitCode = process.ExitCode;
        return text;
    }

    private static IEnumerable<string> Candidates()
    {
        string program = OperatingSystem.IsWindows() ? "ptxas.exe" : "ptxas";
        if (Environment.GetEnvironmentVariable("CUDALORA_PTXAS") is { Length: > 0 } given) yield return given;
        foreach (string folder in (Environment.GetEnvironmentVariable("PATH") ?? "").Split(
            System.IO.Path.PathSeparator, StringSplitOptions.RemoveEmptyEntries))
        {
            yield return System.IO.Path.Combine(folder, program);
        }
        foreach (string variable in new[] { "CUDA_HOME", "CUDA_PATH" })
        {
            if (Environment.GetEnvironmentVariable(variable) is { Length: > 0 } home)
                yield return System.IO.Path.Combine(home, "bin", program);
        }
        foreach (string start in new[] { Environment.CurrentDirectory, AppContext.BaseDirectory })
        {
            for (var folder = new DirectoryInfo(start); folder is not null; folder = folder.Parent)
                yield return System.IO.Path.Combine(folder.FullName, ".cache", "ptxas", "bin", program);
        }
    }
}
