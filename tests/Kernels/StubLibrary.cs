using System.Diagnostics;
using System.Runtime.InteropServices;

namespace CudaLora.Tests;

/// <summary>
/// A C file of tests/Kernels/native, compiled once into a shared library; tests skip where there is no cc.
/// </summary>
internal static class StubLibrary
{
    private static readonly Lock Gate = new();
    private static readonly Dictionary<string, string> Built = [];

    /// <summary>Path of the library, named like the real one so that a loader cannot tell.</summary>
    public static string Require(string source, string library)
    {
        lock (Gate)
        {
            if (Built.TryGetValue(library, out string? path)) return path;
            Assert.SkipUnless(
                OperatingSystem.IsLinux() && Compiler() is not null, "no C compiler for the stub library");
            path = Path.Combine(Directory.CreateTempSubdirectory("cudalora-stub-").FullName, library);
            string file = Path.Combine(SharedData.Root, "tests", "Kernels", "native", source);
            using Process process = Process.Start(new ProcessStartInfo(
                Compiler()!, ["-shared", "-fPIC", "-O1", "-o", path, file])
            { RedirectStandardError = true })!;
            string said = process.StandardError.ReadToEnd();
            process.WaitForExit();
            Assert.True(process.ExitCode == 0, said);
            Built.Add(library, path);
            return path;
        }
    }

    /// <summary>The stub's log since it was last cleared, one line per call.</summary>
    public static unsafe string[] Log(nint library)
    {
        var log = (delegate* unmanaged<nint>)NativeLibrary.GetExport(library, "stub_log");
        return Marshal.PtrToStringUTF8(log())!.Split('\n', StringSplitOptions.RemoveEmptyEntries);
    }

    public static unsafe void Clear(nint library) =>
        ((delegate* unmanaged<void>)NativeLibrary.GetExport(library, "stub_clear"))();

    private static string? Compiler() => (Environment.GetEnvironmentVariable("PATH") ?? "").Split(Path.PathSeparator)
        .Select(folder => Path.Combine(folder, "cc")).FirstOrDefault(File.Exists);
}
