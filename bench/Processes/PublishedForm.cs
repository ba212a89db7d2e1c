using System.Diagnostics;
using System.Runtime.InteropServices;

namespace CudaLora.Bench.Processes;

/// <summary>One way to publish the command line.</summary>
/// <param name="Name">Its folder and its key in the report.</param>
/// <param name="Label">For people.</param>
/// <param name="Options">What <c>dotnet publish lora/cli -c Release -r RID</c> is given.</param>
internal sealed record PublishedForm(string Name, string Label, params string[] Options)
{
    private const string Program = "lora/cli/cudalora.csproj";

    /// <summary>Every form there is, the one most people run first.</summary>
    public static readonly IReadOnlyList<PublishedForm> All =
    [
        new("framework", "needs the .NET runtime", "--self-contained", "false"),
        new("framework-r2r", "needs the .NET runtime, ReadyToRun",
            "--self-contained", "false", "-p:PublishReadyToRun=true"),
        new("contained", "self-contained", "--self-contained"),
        new("contained-r2r", "self-contained, ReadyToRun", "--self-contained", "-p:PublishReadyToRun=true"),
        new("trimmed-r2r", "trimmed, ReadyToRun",
            "--self-contained", "-p:PublishTrimmed=true", "-p:PublishReadyToRun=true"),
        new("single-file", "one file, trimmed, ReadyToRun",
            "--self-contained", "-p:PublishTrimmed=true", "-p:PublishReadyToRun=true", "-p:PublishSingleFile=true"),
        new("aot", "NativeAOT, AVX2", "-p:PublishAot=true"),
        new("aot-native", "NativeAOT, this processor's vectors", "-p:PublishAot=true", "-p:IlcInstructionSet=native"),
    ];

    /// <summary>The command that makes it, as a person would write it.</summary>
    public string Command =>
        $"dotnet publish lora/cli -c Release -r {RuntimeInformation.RuntimeIdentifier} {string.Join(' ', Options)}";

    /// <summary>Publishes it anew and returns the program's path.</summary>
    /// <exception cref="InvalidOperationException">It could not be published; says why.</exception>
    public string Publish(string root, string folder)
    {
        // The forms share a folder of intermediate files, where one would take the other's for its own.
        var intermediate = Path.Combine(
            root, "artifacts", "obj", "cudalora", $"release_{RuntimeInformation.RuntimeIdentifier}");
        foreach (var part in (string[])["R2R", "linked", "native"]) Delete(Path.Combine(intermediate, part));
        Delete(folder);
        var start = new ProcessStartInfo("dotnet",
        [
            "publish", Path.Combine(root, Program), "-c", "Release", "-r", RuntimeInformation.RuntimeIdentifier,
            "-o", folder, "-p:DebugType=none", "-p:RunAnalyzers=false", "-v", "q", "-nologo", .. Options,
        ])
        {
            RedirectStandardOutput = true,
        };
        using var build = Process.Start(start)!;
        var said = build.StandardOutput.ReadToEnd().Trim();
        build.WaitForExit();
        if (build.ExitCode != 0)
            throw new InvalidOperationException($"{Command}: {said}");
        return Path.Combine(folder, "cudalora");

        static void Delete(string path)
        {
            if (Directory.Exists(path)) Directory.Delete(path, recursive: true);
        }
    }
}
